//! `portcullis explain --from X --to Y --port P PATH…`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, ArgGroup, ValueEnum};
use serde_json::value::RawValue;

use super::input::{self, namespace};
use super::{CANNOT, cannot, complain, unless_closed};
use crate::inventory::from_files::{DEFAULT_NAMESPACE, Loaded, load};
use crate::netpol::port_set::Protocol;
use crate::report::explain::{Told, json, plan, text};

mod names;
mod question;

use names::Names;
use question::{Asked, Known, Lines, Port, port, protocol};

/// Arguments of `portcullis explain`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("ends").args(["from", "to", "queries"]).multiple(true).required(true))]
pub(super) struct Args {
    /// Manifests: files, folders, `-` for the standard input; all of them together are the cluster
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Who opens the connection: namespace/name, namespace/Kind/name, or an IP address. Without it: who may reach --to
    #[arg(long, value_name = "END")]
    from: Option<String>,

    /// Who is called, named likewise. Without it: what --from may reach
    #[arg(long, value_name = "END")]
    to: Option<String>,

    /// The port that is called, a number or a name that --to gives to it. Without it: on which ports they connect
    #[arg(long, value_name = "PORT", value_parser = port, requires = "from", requires = "to")]
    port: Option<Port>,

    /// Its protocol: TCP, UDP or SCTP [default: TCP with a port, all without]
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol, requires = "from", requires = "to")]
    protocol: Option<Protocol>,

    /// Questions as JSON lines {"id", "from", "to", "protocol", "port"}; `-` for the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "port", "protocol"])]
    queries: Option<PathBuf>,

    /// The namespace of manifests and ends that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = DEFAULT_NAMESPACE, value_parser = namespace)]
    namespace: String,

    /// Whether an ipBlock also means the pods whose addresses lie in it, as your network plugin has it
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    ipblock_matches_pods: bool,

    /// How the answer is written [default: text, and jsonl with --queries]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,

    /// Print the kubectl commands that try the connection on a cluster instead
    #[arg(long, conflicts_with = "output")]
    test_plan: bool,

    /// The image of the test plan's probes; it has to have an `nc` that knows -z, -w and -u
    #[arg(long, value_name = "IMAGE", default_value = "busybox:1.37", requires = "test_plan")]
    test_image: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One JSON document an answer, one a line
    Jsonl,
}

/// What is written of each answer.
#[derive(Clone, Copy)]
enum Form<'a> {
    Answer(Output),
    Plan { image: &'a str },
}

pub(super) fn run(args: &Args) -> ExitCode {
    let is_stdin = |path: &PathBuf| path == Path::new("-");
    if args.queries.as_ref().is_some_and(is_stdin) && args.paths.iter().any(is_stdin) {
        return cannot("both the manifests and the questions are to come from the standard input; name a file for one");
    }
    if args.test_plan && args.queries.is_none() && args.port.is_none() {
        return cannot("a test plan tries one connection: give --from, --to and --port");
    }
    let questions = match args.queries.as_deref().map(open).transpose() {
        Ok(questions) => questions,
        Err(error) => return cannot(error),
    };
    let Loaded { inventory, problems } = load(&input::read(&args.paths), &args.namespace);
    problems.iter().for_each(|problem| complain(&format!("warning: {problem}\n")));
    let world = inventory.world(args.ipblock_matches_pods);
    let names = Names::new(&world, &args.namespace);
    let known = Known { inventory: &inventory, world: &world, names };
    let form = match args.output {
        _ if args.test_plan => Form::Plan { image: &args.test_image },
        Some(output) => Form::Answer(output),
        None if args.queries.is_some() => Form::Answer(Output::Jsonl),
        None => Form::Answer(Output::Text),
    };
    let printed = match questions {
        Some(questions) => answer_all(&known, questions, form),
        None => answer_one(&known, args, form),
    };
    match printed {
        Ok(asked) if asked && problems.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(CANNOT),
        Err(error) => unless_closed(&error),
    }
}

type Questions = Lines<BufReader<Box<dyn Read>>>;

fn open(path: &Path) -> Result<Questions, String> {
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| format!("{}: {error}", path.display()))?)
    };
    Ok(Lines::new(BufReader::new(reader)))
}

/// Answers the question of the arguments; whether it could be asked.
fn answer_one(known: &Known<'_, '_>, args: &Args, form: Form<'_>) -> io::Result<bool> {
    let (from, to) = (args.from.clone(), args.to.clone());
    let told = known.answer(Ok(&Asked { from, to, protocol: args.protocol, port: args.port.clone() }));
    let asked = match &told {
        Told::NotAsked { reason } => {
            cannot(reason);
            false
        }
        Told::Connection(_) | Told::Reach { .. } => true,
    };
    let mut answers = Answers::new(known, form);
    // People have been told on stderr; tools get the document they wait for.
    if asked || matches!(form, Form::Answer(Output::Json | Output::Jsonl)) {
        answers.write(None, &told)?;
    }
    answers.out.flush()?;
    Ok(asked)
}

/// Answers a file of questions in its order; whether all could be asked.
fn answer_all(known: &Known<'_, '_>, mut questions: Questions, form: Form<'_>) -> io::Result<bool> {
    let mut answers = Answers::new(known, form);
    let in_list = matches!(form, Form::Answer(Output::Json));
    let mut all_asked = true;
    if in_list {
        answers.out.write_all(b"[\n")?;
    }
    while let Some(line) = questions.next() {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                cannot(format!("the questions cannot be read on: {error}"));
                all_asked = false;
                break;
            }
        };
        let told = known.answer(line.asked.as_ref());
        all_asked &= !matches!(told, Told::NotAsked { .. });
        if in_list && answers.written > 0 {
            answers.out.write_all(b",\n")?;
        }
        answers.write(line.id.as_deref(), &told)?;
        // Whoever asks one question after the other waits for the answer.
        if questions.get_ref().buffer().is_empty() {
            answers.out.flush()?;
        }
    }
    if in_list {
        answers.out.write_all(b"]\n")?;
    }
    answers.out.flush()?;
    Ok(all_asked)
}

/// The answers on their way out.
struct Answers<'k, 'w, 'a> {
    known: &'k Known<'w, 'a>,
    form: Form<'k>,
    out: BufWriter<anstream::AutoStream<io::StdoutLock<'static>>>,
    coloured: bool,
    written: usize,
}

impl<'k, 'w, 'a> Answers<'k, 'w, 'a> {
    fn new(known: &'k Known<'w, 'a>, form: Form<'k>) -> Self {
        let coloured = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        Self { known, form, out: BufWriter::new(anstream::stdout().lock()), coloured, written: 0 }
    }

    fn write(&mut self, id: Option<&RawValue>, told: &Told<'a>) -> io::Result<()> {
        let world = self.known.world;
        let first = self.written == 0;
        self.written += 1;
        let text = match self.form {
            Form::Answer(Output::Json) => json::line(id, told, world, true)? + "\n",
            Form::Answer(Output::Jsonl) => json::line(id, told, world, false)? + "\n",
            Form::Answer(Output::Text) => {
                let between = if first { "" } else { "\n" };
                format!("{between}{}", text::render(told, world, self.coloured))
            }
            Form::Plan { image } => {
                let head = if first { plan::HEAD } else { "" };
                format!("{head}\n{}", plan::render(told, world, self.written, image))
            }
        };
        self.out.write_all(text.as_bytes())
    }
}
