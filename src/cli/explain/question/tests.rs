use super::*;

fn read(text: &[u8]) -> Vec<(Option<String>, Result<Asked, String>)> {
    let lines = Lines::new(text).map(|line| line.expect("readable"));
    lines.map(|Line { id, asked }| (id.map(|id| id.get().to_owned()), asked)).collect()
}

fn one(text: &str) -> Result<Asked, String> {
    read(text.as_bytes()).remove(0).1
}

fn with_port(port: &str) -> Result<Port, String> {
    one(&format!(r#"{{"from": "a/x", "to": "b/y", "port": {port}}}"#)).map(|asked| asked.port.expect("given"))
}

#[test]
fn a_line_is_a_question_however_it_is_written() {
    let text = "\u{feff}{\"id\": 1, \"from\": \"a/x\", \"to\": \"b/y\", \"port\": 80, \"more\": [{}]}\r\n\r\n  \n\
                {\"port\":\"53\",\"protocol\":\"udp\",\"to\":\"b/y\",\"from\":\"a/x\",\"id\":\"z\"}";
    let asked = |protocol, port| Asked {
        from: Some("a/x".to_owned()),
        to: Some("b/y".to_owned()),
        protocol: Some(protocol),
        port: Some(Port::Number(port)),
    };
    assert_eq!(
        read(text.as_bytes()),
        [
            (Some("1".to_owned()), Ok(asked(Protocol::Tcp, 80))),
            (Some("\"z\"".to_owned()), Ok(asked(Protocol::Udp, 53)))
        ]
    );
}

#[test]
fn a_port_is_a_number_in_whatever_form_or_a_name() {
    for (written, number) in
        [("80", 80), ("80.0", 80), ("8e1", 80), ("\" 80 \"", 80), ("65535", 65535), ("\"0080\"", 80)]
    {
        assert_eq!(with_port(written), Ok(Port::Number(number)), "{written}");
    }
    assert_eq!(with_port("\"http\""), Ok(Port::Name("http".to_owned())));
    for written in ["0", "65536", "-1", "80.5", "1e999", "null", "true", "[80]", "\"\"", "\"-1\"", "\"a b\""] {
        assert!(with_port(written).is_err(), "{written}");
    }
}

#[test]
fn an_id_is_told_back_as_it_was_given() {
    for id in ["12345678901234567890123", "1.0", "\"a\\u00e4\"", "null", "true"] {
        let lines = read(format!(r#"{{"id": {id}, "from": 1}}"#).as_bytes());
        assert_eq!(lines[0].0.as_deref(), Some(id));
        assert!(lines[0].1.is_err());
    }
}

#[test]
fn a_line_that_cannot_be_read_does_not_take_the_others_with_it() {
    let long = format!("{{\"id\": \"long\", \"from\": \"{}\"}}", "x".repeat(100_000));
    let good = r#"{"from": "a/x", "to": "b/y", "port": 80}"#;
    let text = [r#"{"id": 7, "from": "#, "[]", "\u{1}", &long, r#"{"id": {"a": 1}, x"#, good].join("\n");
    let lines = read(text.as_bytes());
    let ids: Vec<Option<&str>> = lines.iter().map(|(id, _)| id.as_deref()).collect();
    assert_eq!(ids, [Some("7"), None, None, Some("\"long\""), None, None]);
    assert_eq!(
        lines.iter().map(|(_, asked)| asked.is_ok()).collect::<Vec<_>>(),
        [false, false, false, false, false, true]
    );
    assert!(read(b"{\"from\": \"\xff\"}")[0].1.is_err());
}

#[test]
fn what_a_question_lacks_is_told() {
    assert_eq!(one(r#"{"from": "a/x", "to": "b/y"}"#), Err("the question has no `port`".to_owned()));
    assert_eq!(one(r#"{"form": "a/x", "to": "b/y", "port": 1}"#), Err("the question has no `from`".to_owned()));
    let icmp = one(r#"{"from": "a/x", "to": "b/y", "port": 1, "protocol": "ICMP"}"#);
    assert_eq!(icmp, Err("the protocol must be TCP, UDP or SCTP".to_owned()));
}

#[test]
fn a_longest_line_that_ends_with_the_file_is_read() {
    let question = r#"{"from": "a/x", "to": "b/y", "port": 80}"#;
    let padded = format!("{question:>width$}", width = usize::try_from(MAX_LINE).expect("small") - 1);
    assert!(read(padded.as_bytes())[0].1.is_ok());
}
