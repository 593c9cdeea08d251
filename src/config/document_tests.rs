#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{Config, Process};
use std::io::Write;

const NAME: &str = "/b/config.json";

fn document(text: &str) -> Document {
    Document::new(NAME, text.as_bytes().to_vec())
}

/// What is said of `text` after the file's name.
fn error<T: DeserializeOwned>(text: &str) -> String {
    let message = match document(text).parse::<T>() {
        Ok(_) => panic!("{text} was accepted"),
        Err(error) => error.to_string(),
    };
    message.strip_prefix("/b/config.json:").unwrap().to_owned()
}

/// The line for the one key of `text` that is not known.
fn unknown<T: DeserializeOwned>(text: &str) -> String {
    let document = document(text);
    assert!(document.read::<T>().unwrap().1);
    let keys = document.unknown_keys::<T>();
    assert_eq!(keys.len(), 1);
    let line = document.unknown_key(&keys[0]);
    line.strip_prefix("/b/config.json:").unwrap().to_owned()
}

/// A config with these members beside the ones it must have.
fn with(members: &str) -> String {
    format!("{{\"ociVersion\": \"1.0.2\", \"root\": {{\"path\": \"r\"}},\n{members}}}")
}

#[test]
fn a_wrong_type_is_told_with_line_column_and_path() {
    let text = "{\n  \"ociVersion\": \"1.0.2\",\n  \"root\": {\"path\": \"r\"},\n  \"mounts\": [\n    \
                {\"destination\": \"/a\"},\n    {\"destination\": \"/b\", \"options\": [\"ro\", 3]}\n  ]\n}";
    let expected = "6:45: mounts[1].options[1]: invalid type: integer `3`, expected a string";
    assert_eq!(error::<Config>(text), expected);
}

#[test]
fn every_kind_of_wrong_value_is_told_at_the_value() {
    let cases = [
        (
            r#""hostname": 5"#,
            "2:13: hostname: invalid type: integer `5`, expected a string",
        ),
        (
            r#""mounts": {}"#,
            "2:11: mounts: invalid type: map, expected a sequence",
        ),
        (
            r#""linux": [1]"#,
            "2:10: linux: invalid type: sequence, expected an object",
        ),
        (
            r#""hooks": []"#,
            "2:10: hooks: invalid type: sequence, expected an object",
        ),
        (
            r#""process": {"cwd": "/", "user": [0, 0]}"#,
            "2:33: process.user: invalid type: sequence, expected an object",
        ),
        (
            r#""linux": {"namespaces": [{"type": {"pid": null}}]}"#,
            "2:35: linux.namespaces[0].type: invalid type: map, expected a string",
        ),
        (
            r#""linux": {"resources": {"devices": [[true]]}}"#,
            "2:37: linux.resources.devices[0]: invalid type: sequence, expected an object",
        ),
        (
            r#""process": {"cwd": "/", "terminal": "yes"}"#,
            "2:37: process.terminal: invalid type: string \"yes\", expected a boolean",
        ),
        (
            r#""process": {"cwd": "/", "user": {"uid": "0", "gid": 0}}"#,
            "2:41: process.user.uid: invalid type: string \"0\", expected u32",
        ),
        (
            r#""process": {"cwd": "/", "user": {"uid": 4294967296, "gid": 0}}"#,
            "2:41: process.user.uid: invalid value: integer `4294967296`, expected u32",
        ),
        (
            r#""process": {"cwd": "/", "user": {"uid": 0, "gid": -1}}"#,
            "2:51: process.user.gid: invalid value: integer `-1`, expected u32",
        ),
        (
            r#""process": {"cwd": "/", "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}"#,
            "2:46: process.rlimits[0].type: unknown variant `RLIMIT_X`, expected one of",
        ),
        (
            r#""hooks": {"poststop": [{"path": "/a", "timeout": 0}]}"#,
            "2:50: hooks.poststop[0].timeout: invalid value: integer `0`, expected a nonzero u64",
        ),
        (
            r#""linux": {"namespaces": [{"type": "net"}]}"#,
            "2:35: linux.namespaces[0].type: unknown variant `net`, expected one of `pid`, `network`",
        ),
        (
            r#""linux": {"rootfsPropagation": "wild", "sysctl": {}}"#,
            "2:32: linux.rootfsPropagation: rootfsPropagation=wild is not supported",
        ),
        (
            r#""linux": {"sysctl": {"net.core.somaxconn": 256}}"#,
            "2:44: linux.sysctl[\"net.core.somaxconn\"]: invalid type: integer `256`, expected a string",
        ),
        (
            r#""linux": {"timeOffsets": {"realtime": {"secs": 1}}}"#,
            "2:27: linux.timeOffsets.realtime: unknown variant `realtime`, expected `monotonic` or `boottime`",
        ),
        (
            r#""process": {"cwd": "/", "execCPUAffinity": {"initial": "3-1"}}"#,
            "2:56: process.execCPUAffinity.initial: invalid CPU list: \"3-1\" ends before it begins",
        ),
        (
            r#""linux": {"seccomp": {"defaultAction": "ALLOW"}}"#,
            "2:40: linux.seccomp.defaultAction: unknown variant `ALLOW`, expected one of",
        ),
        (
            r#""linux": {"resources": {"devices": [{"allow": true, "access": "x"}], "cpu": {}}}"#,
            "2:63: linux.resources.devices[0].access: invalid value: string \"x\"",
        ),
        (
            r#""linux": {"resources": {"memory": {"limit": 1.5}}}"#,
            "2:45: linux.resources.memory.limit: invalid type: floating point `1.5`, expected i64",
        ),
    ];
    for (members, expected) in cases {
        let error = error::<Config>(&with(members));
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
}

#[test]
fn memory_policies_are_refused_in_the_words_of_runc() {
    let cases = [
        (
            r#"{}"#,
            "25: linux.memoryPolicy: invalid memory policy mode: missing field `mode`",
        ),
        (
            r#"{"nodes": "0-7"}"#,
            "25: linux.memoryPolicy: invalid memory policy mode",
        ),
        (
            r#"{"mode": "BIND"}"#,
            "34: linux.memoryPolicy.mode: invalid memory policy mode \"BIND\"",
        ),
        (
            r#"{"mode": ""}"#,
            "34: linux.memoryPolicy.mode: invalid memory policy mode",
        ),
        (
            r#"{"mode": "MPOL_BIND", "flags": ["MPOL_F_STATIC_NODES", "F"]}"#,
            "80: linux.memoryPolicy.flags[1]: invalid memory policy flag \"F\"",
        ),
        (
            r#"{"mode": "MPOL_BIND", "nodes": "0-9876543210"}"#,
            "56: linux.memoryPolicy.nodes: invalid memory policy nodes: 9876543210 is greater than 32767",
        ),
    ];
    for (policy, expected) in cases {
        let error = error::<Config>(&with(&format!("\"linux\":{{\"memoryPolicy\":{policy}}}")));
        assert!(
            error.starts_with(&format!("2:{expected}")),
            "{error}\nis not\n{expected}"
        );
    }
}

#[test]
fn a_missing_field_is_told_at_the_object_that_lacks_it() {
    let cases = [
        (
            with(r#""mounts": [{"type": "a"}]"#),
            "2:12: mounts[0]: missing field `destination`",
        ),
        (
            with(r#""process": {"args": ["a"]}"#),
            "2:12: process: missing field `cwd`",
        ),
        (
            with(r#""linux": {"devices": [{"path": "/a"} ]}"#),
            "2:23: linux.devices[0]: missing field `type`",
        ),
        (
            "\n {\"ociVersion\": \"1.0.0\"}".to_owned(),
            "2:2: missing field `root`",
        ),
        ("{}".to_owned(), "1:1: missing field `ociVersion`"),
    ];
    for (text, expected) in cases {
        assert_eq!(error::<Config>(&text), expected);
    }
}

#[test]
fn a_field_that_is_there_under_a_wrong_name_is_pointed_at() {
    let cases = [
        (
            with(r#""mounts": [{"destnation": "/a", "tpye": "b"}]"#),
            "2:12: mounts[0]: missing field `destination` (mounts[0].destnation is an unknown key)",
        ),
        (
            r#"{"OCIVersion": "1.0.0", "x": 1}"#.to_owned(),
            "1:1: missing field `ociVersion` (OCIVersion is an unknown key)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error::<Config>(&text), expected);
    }
}

#[test]
fn an_error_is_one_line() {
    let text = with(r#""linux": {"namespaces": [{"type": "a\nb"}]}"#);
    assert!(error::<Config>(&text).contains("unknown variant `a\\nb`"));
}

#[test]
fn broken_json_is_told_where_it_breaks() {
    let cases = [
        ("", "1:1: EOF while parsing a value"),
        ("{\"ociVersion\": \"1.0.2\",}", "1:24: trailing comma"),
        (
            "{\n\"root\": {\"path\": \"r\"}\n\"hostname\": \"a\"}",
            "3:1: expected `,` or `}`",
        ),
        ("{\"a\" 1}", "1:6: expected `:`"),
        ("{'a': 1}", "1:2: key must be a string"),
        (
            "{\"hostname\": \"a\nb\"}",
            "1:16: control character (\\u0000-\\u001F) found while parsing a string",
        ),
        (
            "{\"hostname\": \"\\ud800\"}",
            "1:21: unexpected end of hex escape",
        ),
        ("nul", "1:3: EOF while parsing a value"),
    ];
    for (text, expected) in cases {
        assert_eq!(error::<Config>(text), expected, "{text}");
    }
    assert_eq!(
        error::<Config>(&format!("{} x", with("\"hostname\":\"a\""))),
        "2:17: trailing characters"
    );
    let message = Document::new(NAME, b"{\"a\":\n \"\xff\"}".to_vec())
        .parse::<Config>()
        .unwrap_err();
    assert_eq!(message.to_string(), "/b/config.json:2:3: not UTF-8");
    // Deeper than anyone goes, and neither reader may overflow its stack.
    assert!(error::<Config>(&"[".repeat(100_000)).ends_with("EOF while parsing a list"));
    let deep = format!("\"vm\": {}", "[".repeat(100_000));
    assert!(error::<Config>(&with(&deep)).contains("recursion limit exceeded"));
}

#[test]
fn columns_are_counted_in_characters() {
    let text = with(r#""annotations": {"naïve ☃": 7}"#);
    assert!(error::<Config>(&text).starts_with("2:28: annotations[\"naïve ☃\"]: invalid type"));
}

#[test]
fn a_key_given_twice_is_refused_at_the_second() {
    let text = with(r#""process": {"cwd": "/", "cwd": "/tmp"}"#);
    assert_eq!(
        error::<Config>(&text),
        "2:25: process.cwd: duplicate field `cwd`"
    );
}

#[test]
fn nul_bytes_are_refused_wherever_they_are() {
    let cases = [
        (
            r#""hostname": "a\u0000b""#,
            "2:13: hostname: contains a NUL byte",
        ),
        (
            r#""process": {"cwd": "/", "args": ["a", "\u0000"]}"#,
            "2:39: process.args[1]: contains a NUL byte",
        ),
        (
            r#""linux": {"sysctl": {"a\u0000": "1"}}"#,
            "2:22: linux.sysctl[\"a\\0\"]: contains a NUL byte",
        ),
    ];
    for (members, expected) in cases {
        assert_eq!(error::<Config>(&with(members)), expected);
    }
    let escaped = document(&with(r#""hostname": "a\\u0000b""#))
        .parse::<Config>()
        .unwrap();
    assert_eq!(escaped.hostname.unwrap(), "a\\u0000b");
}

#[test]
fn an_unknown_key_is_told_with_the_one_that_was_meant() {
    let cases = [
        (
            r#""linux": {"resources": {"memory": {"limt": 5}}}"#,
            "2:36: linux.resources.memory.limt: unknown key, did you mean \"limit\"?",
        ),
        (
            r#""proces": {}"#,
            "2:1: proces: unknown key, did you mean \"process\"?",
        ),
        (
            r#""mounts": [{"destination": "/a", "option": ["ro"]}]"#,
            "2:34: mounts[0].option: unknown key, did you mean \"options\"?",
        ),
        (
            r#""process": {"cwd": "/", "NoNewPrivileges": true}"#,
            "2:25: process.NoNewPrivileges: unknown key, did you mean \"noNewPrivileges\"?",
        ),
        (
            r#""hooks": {"poststop": [{"path": "/a"}, {"path": "/b", "timeOut": 1}]}"#,
            "2:55: hooks.poststop[1].timeOut: unknown key, did you mean \"timeout\"?",
        ),
        (
            r#""linux": {"netDevices": {"eth0": {"nam": "a"}}}"#,
            "2:35: linux.netDevices.eth0.nam: unknown key, did you mean \"name\"?",
        ),
        (
            r#""linux": {"timeOffsets": {"boottime": {"sec": 1}}}"#,
            "2:40: linux.timeOffsets.boottime.sec: unknown key, did you mean \"secs\"?",
        ),
        (
            r#""linux": {"seccomp": {"defaultAction": "SCMP_ACT_LOG", "syscall": [{"a": 1}]}}"#,
            "2:56: linux.seccomp.syscall: unknown key, did you mean \"syscalls\"?",
        ),
        (
            r#""x-vendor": {"a": {"b": 1}}"#,
            "2:1: [\"x-vendor\"]: unknown key",
        ),
    ];
    for (members, expected) in cases {
        assert_eq!(unknown::<Config>(&with(members)), expected);
    }
    let process = unknown::<Process>(r#"{"cwd": "/", "evn": []}"#);
    assert_eq!(process, "1:14: evn: unknown key, did you mean \"env\"?");
}

#[test]
fn known_keys_are_not_warned_of() {
    let text = with(
        r#""solaris": {"a": 1}, "windows": {"b": {"c": []}}, "vm": {}, "zos": {}, "freebsd": {},
           "annotations": {"any": "thing"},
           "process": {"cwd": "/", "commandLine": "x", "user": {"uid": 0, "gid": 0, "username": "u"}},
           "linux": {"sysctl": {"a.b": "c"}, "intelRdt": {"enableCMT": true, "enableMBM": true},
                     "resources": {"unified": {"a.b": "c"}, "rdma": {"mlx5_1": {"hcaHandles": 3}}}}"#,
    );
    assert!(!document(&text).read::<Config>().unwrap().1);
    assert!(document(&text).unknown_keys::<Config>().is_empty());
}

#[test]
fn of_several_faults_the_first_in_the_file_is_told() {
    let text = with(r#""linux": {"maskedPaths": ["a"]}, "process": {"cwd": "a", "args": []}"#);
    let document = document(&text);
    let config = document.parse().unwrap();
    let error = document
        .judge(crate::config::check::config(&config))
        .unwrap_err();
    let expected = "/b/config.json:2:26: linux.maskedPaths: unable to restrict sys entries without a private MNT namespace";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.code(), Code::InvalidConfig);
}

#[test]
fn a_fault_of_something_absent_is_told_where_it_should_be() {
    let document = document(&with(r#""process": {"cwd": "/"}"#));
    let config = document.parse().unwrap();
    let error = document
        .judge(crate::config::check::config(&config))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/b/config.json:2:12: process.args: args must not be empty"
    );
}

#[test]
fn a_file_that_is_not_there_or_no_file_is_refused() {
    let missing = Document::regular(FilePath::new("/nonexistent/config.json"));
    let expected = "JSON specification file /nonexistent/config.json not found";
    assert_eq!(missing.err().unwrap().to_string(), expected);
    for path in ["/proc/self", "/dev/null"] {
        let error = Document::regular(FilePath::new(path)).err().unwrap();
        assert_eq!(error.to_string(), format!("{path} is not a regular file"));
    }
}

#[test]
fn a_fifo_in_place_of_a_config_does_not_hold_us_up() {
    let fifo = std::env::temp_dir().join(format!("tare-config-fifo-{}", std::process::id()));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let result = Document::regular(&fifo);
    std::fs::remove_file(&fifo).unwrap();
    assert!(
        result
            .err()
            .unwrap()
            .to_string()
            .ends_with("is not a regular file")
    );
}

#[test]
fn a_process_may_come_through_a_pipe_in_pieces() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let writing = std::thread::spawn(move || {
        for piece in ["{\"cwd\":", "\"/\", \"args\"", ": [\"a\"]}"] {
            writer.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let process = crate::config::load_process(FilePath::new(&path)).unwrap();
    writing.join().unwrap();
    assert_eq!(process.args, ["a"]);
}

#[test]
fn a_large_file_is_read_whole() {
    let path = std::env::temp_dir().join(format!("tare-config-large-{}", std::process::id()));
    let text = with(&format!("\"hostname\": \"{}\"", "a".repeat(3_000_000)));
    std::fs::write(&path, &text).unwrap();
    let document = Document::regular(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(document.unwrap().text, text.as_bytes());
}
