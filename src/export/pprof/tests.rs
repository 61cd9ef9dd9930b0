//! What was written is read back by another's parser, and must be the profile again.

use super::super::sample::{frame, heap};
use super::*;
use crate::base::time::Timestamp;
use crate::export::ValueKind;
use libdd_profiling_protobuf::prost_impls as proto;
use proptest::prelude::*;
use proto::Message as _;
use std::io::Read;
use std::time::Duration;

fn written(profile: &Profile) -> proto::Profile {
    let mut bytes = Vec::new();
    write(profile, &mut bytes).expect("a vector takes all");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut plain)
        .expect("gzip");
    proto::Profile::decode(plain.as_slice()).expect("a profile")
}

/// The profile that a message holds. All that the format demands is checked on the way.
fn read(message: &proto::Profile) -> Profile {
    assert_eq!(message.string_table[0], "");
    let text = |index: i64| message.string_table[index as usize].clone();
    let some = |index: i64| Some(text(index)).filter(|text| !text.is_empty());
    let time = |nanoseconds: i64| {
        let duration = Duration::from_nanos(nanoseconds as u64);
        Some(duration).filter(|duration| !duration.is_zero())
    };
    let frames_of = |id: &u64| {
        let mut places = message.locations.iter().filter(|place| place.id == *id);
        let place = places.next().expect("a location of this id");
        assert!(places.next().is_none(), "one location of this id");
        frames(message, place)
    };
    let sample = |sample: &proto::Sample| {
        assert_eq!(sample.values.len(), message.sample_types.len());
        Sample {
            frames: sample.location_ids.iter().flat_map(frames_of).collect(),
            values: sample.values.clone(),
            labels: sample
                .labels
                .iter()
                .map(|label| (text(label.key), text(label.str)))
                .collect(),
        }
    };
    let kinds = message.sample_types.iter();
    let kinds: Vec<_> = kinds
        .map(|kind| ValueKind::new(&text(kind.r#type), &text(kind.unit)))
        .collect();
    let last = kinds.last().map_or("", |kind| &kind.name);
    assert_eq!(text(message.default_sample_type), last);
    Profile {
        kinds,
        samples: message.samples.iter().map(sample).collect(),
        time: time(message.time_nanos).map(Timestamp),
        duration: time(message.duration_nanos),
        program: message.mappings.first().and_then(|map| some(map.filename)),
        comments: message.comment.iter().map(|index| text(*index)).collect(),
    }
}

fn frames(message: &proto::Profile, place: &proto::Location) -> Vec<Frame> {
    let text = |index: i64| message.string_table[index as usize].clone();
    let some = |index: i64| Some(text(index)).filter(|text| !text.is_empty());
    let module = message.mappings.iter().find(|m| m.id == place.mapping_id);
    assert_eq!(module.is_none(), place.mapping_id == 0);
    let bare = Frame {
        module: module.and_then(|map| some(map.filename)),
        build_id: module.and_then(|map| some(map.build_id)),
        address: place.address,
        ..Frame::default()
    };
    let named = place.lines.iter().enumerate().map(|(at, line)| {
        let mut functions = message.functions.iter();
        let function = functions.find(|f| f.id == line.function_id);
        let function = function.expect("a function of this id");
        assert_eq!(function.name, function.system_name);
        Frame {
            function: text(function.name),
            file: some(function.filename),
            line: u32::try_from(line.line).ok().filter(|line| *line != 0),
            inlined: at + 1 < place.lines.len(),
            ..bare.clone()
        }
    });
    let named: Vec<Frame> = named.collect();
    if named.is_empty() {
        vec![bare.clone()]
    } else {
        named
    }
}

fn check(profile: &Profile) {
    assert_eq!(&read(&written(profile)), profile);
}

fn with(samples: Vec<Sample>) -> Profile {
    Profile {
        samples,
        program: Some("/usr/bin/server".to_owned()),
        ..heap()
    }
}

fn sample(frames: &[Frame]) -> Sample {
    Sample {
        frames: frames.to_vec(),
        values: vec![20, 640],
        labels: Vec::new(),
    }
}

#[test]
fn nothing() {
    check(&heap());
    check(&Profile::default());
}

#[test]
fn all_of_it() {
    let boxed = Frame {
        file: Some("server.c".to_owned()),
        line: Some(11),
        inlined: true,
        address: 0x1234,
        ..frame("boxed_thing")
    };
    let handle = Frame {
        line: Some(22),
        inlined: false,
        function: "handle".to_owned(),
        ..boxed.clone()
    };
    let libc = Frame {
        function: String::new(),
        module: Some("/lib/libc.so.6".to_owned()),
        build_id: None,
        ..frame("")
    };
    let nowhere = Frame {
        module: None,
        build_id: None,
        ..frame("compiled at run time")
    };
    let mut profile = with(vec![
        sample(&[boxed.clone(), handle.clone(), frame("main"), libc.clone()]),
        // Its first module is not the program's.
        sample(&[libc, handle, nowhere]),
    ]);
    profile.samples[0].labels = vec![("verdict".to_owned(), "LOST".to_owned())];
    profile.samples[1].values = vec![-1, i64::MIN];
    profile.time = Some(Timestamp(Duration::from_secs(1_700_000_000)));
    profile.duration = Some(Duration::from_millis(1500));
    profile.comments = vec!["two".to_owned(), "comments".to_owned()];
    check(&profile);
    // What is the same stands there once.
    let message = written(&profile);
    assert_eq!(message.locations.len(), 5);
    assert_eq!(message.functions.len(), 4);
    assert_eq!(message.mappings.len(), 2);
    assert!(message.mappings[0].has_inline_frames);
    assert!(!message.mappings[1].has_functions);
}

#[test]
fn the_program_comes_first() {
    let library = Frame {
        module: Some("/lib/libc.so.6".to_owned()),
        ..frame("malloc")
    };
    check(&with(vec![sample(&[library, frame("main")])]));
}

#[test]
fn values_are_as_many_as_kinds() {
    let mut profile = with(vec![sample(&[frame("main")]), sample(&[frame("main")])]);
    profile.samples[0].values = vec![7];
    profile.samples[1].values = vec![1, 2, 3];
    let read = read(&written(&profile));
    let values: Vec<_> = read.samples.into_iter().map(|s| s.values).collect();
    assert_eq!(values, [vec![7, 0], vec![1, 2]]);
}

#[test]
fn a_stack_that_ends_inlined() {
    let inlined = Frame {
        inlined: true,
        ..frame("f")
    };
    let profile = with(vec![sample(&[inlined])]);
    let frames = &read(&written(&profile)).samples[0].frames;
    assert_eq!(frames.as_slice(), [frame("f")]);
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let module = prop::option::of("[a-c/]{1,3}");
    ("\\PC{1,4}", any::<u32>(), any::<u64>(), module).prop_map(
        |(function, line, address, module)| Frame {
            function,
            file: Some("file.c".to_owned()),
            line: Some(line).filter(|line| *line != 0),
            module,
            address,
            ..Frame::default()
        },
    )
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let frames = prop::collection::vec(any_frame(), 0..5);
    (frames, any::<[i64; 2]>(), any::<[String; 2]>()).prop_map(|(frames, values, [key, text])| {
        Sample {
            frames,
            values: values.to_vec(),
            labels: vec![(key, text)],
        }
    })
}

proptest! {
    #[test]
    fn whatever_is_written(samples in prop::collection::vec(any_sample(), 0..5)) {
        let mut profile = with(samples);
        let read = read(&written(&profile));
        profile.program = read.program.clone();
        prop_assert_eq!(read, profile);
    }
}
