//! A Markdown file as sections of fenced blocks.

const FENCE: &str = "```";

/// A heading and the blocks below it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) line: usize,
    /// The heading as it is written, with what marks it; nothing for what stands above the first one.
    pub(crate) heading: String,
    /// Blocks, with those of the sections that it continues in front.
    pub(crate) blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where its text begins.
    pub(crate) line: usize,
    pub(crate) info: String,
    pub(crate) text: String,
    /// It stands in a section before, which has run it.
    pub(crate) has_run: bool,
}

/// The sections of a file, or the line that is not understood.
pub(crate) fn sections(text: &str) -> Result<Vec<Section>, (usize, String)> {
    let mut sections = vec![Section { line: 1, heading: String::new(), blocks: Vec::new() }];
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let section = sections.last_mut().expect("one at least");
        match (&mut open, line.strip_prefix(FENCE)) {
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (Some(block), Some("")) => {
                section.blocks.push(block.clone());
                open = None;
            }
            (Some(_), Some(_)) => return Err((number, "the block above is never closed".to_owned())),
            (None, Some(info)) => {
                let info = info.trim().to_owned();
                open = Some(Block { line: number + 1, info, text: String::new(), has_run: false });
            }
            (None, None) if line.starts_with('#') => {
                let mut next = Section { line: number, heading: line.to_owned(), blocks: Vec::new() };
                if next.continued() {
                    next.blocks = section.blocks.iter().map(|block| Block { has_run: true, ..block.clone() }).collect();
                }
                sections.push(next);
            }
            (None, None) => {}
        }
    }
    match open {
        Some(block) => Err((block.line, "the block that begins here is never closed".to_owned())),
        None => Ok(sections),
    }
}

impl Section {
    /// Whether it adds to the cluster of the section before.
    pub(crate) fn continued(&self) -> bool {
        self.heading.ends_with("(continued)")
    }

    /// The text of the manifests above a block, on the lines on which they stand in the file.
    pub(crate) fn manifests(&self, until: usize, is_one: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        for block in self.blocks[..until].iter().filter(|block| is_one(&block.info)) {
            let lines = text.lines().count();
            // A line for the dashes.
            text += &"\n".repeat(block.line.saturating_sub(lines + 2));
            text += "---\n";
            text += &block.text;
        }
        text
    }
}
