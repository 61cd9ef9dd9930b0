//! Recordings: what comes back of them, whole, cut, or made up.

use super::*;
use crate::plan::ModuleName;
use crate::sink::tests::{ONE, Written, defined, imported, text};
use crate::sink::text::{Style, Text};
use crate::value::Value;

/// The bytes of a recording: what is written is no text.
#[derive(Clone, Default)]
struct Bytes(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn events() -> Vec<Event> {
    let names = vec![Some("number".into()), None, Some("where".into())];
    let f = Tracepoint::clone(&imported("f")).with_arg_names(names);
    let (f, g) = (Arc::new(f), defined("g", "libg.so.1"));
    vec![
        ONE.started(),
        ONE.call(
            1,
            0,
            &f,
            &[
                Value::Signed(-1),
                text("a\0b"),
                Value::Pointer(crate::base::addr::Addr(5)),
            ],
        ),
        ONE.call(2, 1, &g, &[Value::Float(1.5)]),
        ONE.signal(10),
        ONE.returns_with(2, 1, &g, &[text("out")], Value::Void),
        ONE.returns(1, 0, &f, Value::Failed(Box::new(Value::Signed(-1)), 2)),
        ONE.returns_again(&f, Value::Bool(true)),
        ONE.call(
            3,
            0,
            &f,
            &[Value::Struct(vec![Value::Char(65), Value::Hidden])],
        ),
        ONE.no_return(3, 0, &f, Why::Gone),
        ONE.exited(0),
    ]
}

fn recorded(events: &[Event]) -> Vec<u8> {
    let bytes = Bytes::default();
    let mut writer = Writer::new(Box::new(bytes.clone()));
    for event in events {
        writer.event(event).expect("written");
    }
    writer.finish().expect("written");
    bytes.0.lock().expect("no panic").clone()
}

fn lines(events: impl IntoIterator<Item = Event>) -> String {
    let written = Written::default();
    let style = Style {
        arg_names: true,
        ..Style::default()
    };
    let mut sink = Text::new(style, Box::new(written.clone()));
    for event in events {
        sink.event(&event).expect("written");
    }
    sink.finish().expect("written");
    written.text()
}

#[test]
fn what_was_recorded_comes_back() {
    let bytes = recorded(&events());
    let reader = Reader::new(&bytes[..]).expect("a recording");
    let shown = lines(reader);
    assert_eq!(shown, lines(events()));
    assert!(shown.contains("f(number=-1, "), "{shown}");
}

#[test]
fn cut_anywhere_it_is_whole_up_to_there() {
    let whole = recorded(&events());
    let shown = lines(events());
    for length in MAGIC.len()..whole.len() {
        let reader = Reader::new(&whole[..length]).expect("a recording");
        let mut open = 0_i32;
        let events: Vec<Event> = reader.collect();
        for event in &events {
            match event.kind {
                Kind::Call { .. } => open += 1,
                Kind::Return { .. } | Kind::NoReturn { .. } => open -= 1,
                _ => {}
            }
        }
        assert_eq!(open, 0, "each call has an end, at {length}");
        let first = lines(events);
        let first = first.lines().next().unwrap_or_default().to_owned();
        assert!(
            shown.starts_with(&first) || first.contains("detached"),
            "{first}"
        );
    }
}

#[test]
fn what_is_no_recording_is_told() {
    for bytes in [
        &b""[..],
        b"ltrace recording 9\n",
        b"\x7fELF and so on, and more",
    ] {
        assert!(Reader::new(bytes).is_err(), "{bytes:?}");
    }
    // Structures within structures.
    let mut deep = recorded(&[]);
    assert_eq!(deep.len(), 0, "nothing was recorded");
    let mut value = Value::Void;
    for _ in 0..400 {
        value = Value::Struct(vec![value]);
    }
    deep = recorded(&[ONE.call(1, 0, &imported("f"), &[value])]);
    assert_eq!(Reader::new(&deep[..]).expect("a recording").count(), 0);
    // Whatever follows the head, nothing is made of it that is not there.
    let mut odd = MAGIC.to_vec();
    odd.extend([255; 100]);
    assert_eq!(Reader::new(&odd[..]).expect("its head").count(), 0);
}

/// Whose code calls is written once for each place, and again when code has moved; an earlier ltrace wrote nothing of it.
#[test]
fn callers() {
    struct Names(usize);
    impl Callers for Names {
        fn event(&mut self, _: &Event) {}

        fn caller(&mut self, _: Pid, _: Addr) -> Option<(String, Arc<ModuleName>)> {
            self.0 += 1;
            Some((format!("f{}", self.0), imported("f").module.clone()))
        }
    }
    let told = |events: &[Event], names: Option<Names>| {
        let bytes = Bytes::default();
        let mut writer = Writer::new(Box::new(bytes.clone()));
        if let Some(names) = names {
            writer = writer.with_callers(Box::new(names));
        }
        for event in events {
            writer.event(event).expect("written");
        }
        let bytes = bytes.0.lock().expect("no panic").clone();
        let reader = Reader::new(&bytes[..]).expect("a recording");
        let callers = reader.callers();
        assert!(callers.is_empty());
        let calls = reader.filter_map(|event| match event.kind {
            Kind::Call { return_address, .. } => Some((event.pid, return_address)),
            _ => None,
        });
        let mut known = callers.clone();
        let names = calls.map(|(pid, from)| known.caller(pid, from).map(|(name, _)| name));
        names.collect::<Vec<_>>()
    };
    let f = imported("f");
    let call = || ONE.call(1, 0, &f, &[]);
    let events = [
        call(),
        ONE.returns(1, 0, &f, Value::Void),
        call(),
        ONE.exec(),
        call(),
    ];
    let name = |n: u32| Some(format!("f{n}"));
    assert_eq!(told(&events, Some(Names(0))), [name(1), name(1), name(2)]);
    assert_eq!(told(&events, None), [None, None, None]);
}
