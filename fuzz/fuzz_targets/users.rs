//! passwd and group of an image: whatever they say, a user of it is found or refused, and the
//! init stage finds the same home in one pass as a plain reading of the lines does.
//!
//! The input is the two files and the user's name, between bytes of 0xff.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::LazyLock;
use tare::image::bundle::users;
use tare::init::passwd::HomeOf;

/// In memory, and this process's alone.
static ROOTFS: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = PathBuf::from(format!("/dev/shm/tare-fuzz-users-{}", std::process::id()));
    fs::create_dir_all(path.join("etc")).expect("a directory in memory");
    path
});

fn home(passwd: &[u8], uid: u32, size: usize) -> Option<Vec<u8>> {
    let mut lookup = HomeOf::new(uid);
    let found = passwd.chunks(size).find_map(|piece| lookup.push(piece));
    found.or_else(|| lookup.end())
}

/// The same, with all of the file at once.
fn plain_reading(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':').skip(2);
        let number = fields
            .next()
            .filter(|field| field.iter().all(u8::is_ascii_digit))?;
        let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let home = fields.nth(2).unwrap_or_default().to_vec();
        let is_one = home.len() <= 4096 && !home.contains(&0);
        (number == uid).then(|| if is_one { home } else { Vec::new() })
    })
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == 0xff);
    let [passwd, group, user] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let user = String::from_utf8_lossy(user);
    fs::write(ROOTFS.join("etc/passwd"), passwd).expect("memory");
    fs::write(ROOTFS.join("etc/group"), group).expect("memory");
    let rootfs = File::open(&*ROOTFS).expect("it is there");
    let mut uids = vec![0, 1000];
    if let Some(numbers) = users::numeric(&user) {
        let resolved = users::resolve(&user, rootfs.as_fd()).expect("numbers need no entry");
        assert_eq!((resolved.uid, resolved.gid), (numbers.uid, numbers.gid));
    }
    if let Ok(resolved) = users::resolve(&user, rootfs.as_fd()) {
        // The last one means "no change" to the kernel, which would leave root as it is.
        assert!(
            resolved.uid != u32::MAX && resolved.gid != u32::MAX,
            "{resolved:?}"
        );
        assert!(
            !resolved.additional_gids.contains(&u32::MAX),
            "{resolved:?}"
        );
        uids.push(resolved.uid);
    }
    for uid in uids {
        let plain = plain_reading(passwd, uid);
        assert_eq!(home(passwd, uid, 1), plain, "{uid}");
        assert_eq!(home(passwd, uid, 4096), plain, "{uid}");
    }
});
