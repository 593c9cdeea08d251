//! Archives as they come from registries: whatever they hold, reading one ends, gives no more
//! data than there is, and no entry that breaks what is promised of entries.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tare::image::tar::{Entry, Kind, Reader};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let mut entry = Entry::default();
    let mut total = 0;
    while let Ok(true) = reader.next(&mut entry) {
        check(&entry);
        let mut stored = 0;
        while let Ok(data) = reader.data() {
            let len = data.len();
            if len == 0 {
                break;
            }
            reader.consume(len);
            stored += len as u64;
        }
        total += stored;
        assert!(stored <= entry.size);
        assert!(stored == 0 || entry.kind == Kind::File);
    }
    assert!(total <= bytes.len() as u64);
});

fn check(entry: &Entry) {
    assert!(!entry.path.is_empty() && !entry.path.contains(&0));
    assert!(!entry.link.contains(&0));
    let is_link = matches!(entry.kind, Kind::HardLink | Kind::Symlink);
    assert_eq!(is_link, !entry.link.is_empty());
    assert!(entry.mode <= 0o7777 && entry.mtime.nanoseconds < 1_000_000_000);
    assert!(entry.uid != u32::MAX && entry.gid != u32::MAX);
    for (name, _) in &entry.xattrs {
        assert!(!name.is_empty() && !name.contains(&0));
        assert_eq!(
            entry
                .xattrs
                .iter()
                .filter(|(other, _)| other == name)
                .count(),
            1
        );
    }
    let mut end = 0;
    for segment in entry.sparse.iter().flatten() {
        assert!(segment.offset >= end);
        end = segment.offset + segment.len;
    }
    assert!(end <= entry.size);
}
