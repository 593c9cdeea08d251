//! Many layers at the same time: in their order, once each, and all of them or none.

use crate::corpus::{Member, Packed, Tar, layer};
use crate::listing;
use crate::unpack::{self, Place, Told, layers};
use libtest_mimic::{Failed, Trial};
use std::os::fd::AsFd;
use tare::image::digest::{Algorithm, Digest};
use tare::image::layer::{Layer, Options, unpack_flat};

pub fn tests() -> Vec<Trial> {
    let tests = [
        (
            "many layers in their order",
            in_order as fn() -> Result<(), Failed>,
        ),
        ("random images are the same in both modes", random),
        ("the bad one is named", bad_one),
        ("stopped from outside", stopped),
        ("most layers are self-contained", self_contained),
    ];
    tests
        .map(|(name, test)| Trial::test(format!("parallel::{name}"), test))
        .into()
}

fn in_order() -> Result<(), Failed> {
    // Later ones are shorter, so that they are done first.
    let tars: Vec<_> = (0..40usize)
        .map(|n| {
            let filler = vec![u8::try_from(n)?; (40 - n) * 20_000];
            Ok(Tar::of([
                Member::dir("d/").mtime(n.try_into()?),
                Member::file("d/last", n.to_string()),
                Member::file(format!("d/{n:02}"), filler),
                Member::file(format!("d/.wh.{:02}", n.saturating_sub(3)), ""),
            ]))
        })
        .collect::<Result<_, std::num::TryFromIntError>>()?;
    let place = Place::new();
    let rootfs = unpack::flat(&place, &layers(&tars, Packed::Gzip), &Options::default())?;
    assert_eq!(std::fs::read_to_string(rootfs.join("d/last"))?, "39");
    let names: Vec<_> = listing::brief(&rootfs)
        .iter()
        .map(|line| line[..4.min(line.len())].to_owned())
        .collect();
    assert_eq!(names, ["d/", "d/37", "d/38", "d/39", "d/la"]);
    let overlay_place = Place::new();
    let overlay = unpack::overlay(
        &overlay_place,
        &layers(&tars, Packed::Zstd),
        &Options::default(),
    )?;
    assert_eq!(listing::full(&overlay.path), listing::full(&rootfs));
    Ok(())
}

/// A generator of numbers that are the same each time (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[usize::try_from(self.below(texts.len() as u64)).unwrap()]
    }

    /// A directory, or none: as what stands before a name.
    fn dir(&mut self) -> String {
        (0..self.below(3))
            .map(|_| self.one_of(&["a/", "b/", "c/"]))
            .collect()
    }

    /// A name: mostly of what is never a directory, so that not all images are refused.
    fn name(&mut self) -> &'static str {
        self.one_of(&[
            "x", "y", "x", "y", "x", "y", "x", "y", "x", "y", "x", "y", "x", "a", "b",
        ])
    }

    fn member(&mut self) -> Member {
        let (dir, name) = (self.dir(), self.name());
        let path = format!("{dir}{name}");
        let member = match self.below(24) {
            0..9 => Member::file(&path, self.below(1000).to_string()),
            9..16 => {
                let mode = [0o755, 0o700, 0o1777, 0o2755][self.below(4) as usize];
                Member::dir(format!(
                    "{dir}{}",
                    self.one_of(&["a", "b", "c", "a", "b", "c", "x"])
                ))
                .mode(mode)
            }
            16..18 => {
                let at = self.one_of(&["a", "x", "y", "x"]);
                let target = self.one_of(&["a", "../b", "/c", "b/c", "../../a", ".", "x"]);
                Member::symlink(format!("{dir}{at}"), target)
            }
            18..21 => Member::file(
                format!("{dir}.wh.{}", self.one_of(&["a", "b", "c", "x", "y"])),
                "",
            ),
            21 => Member::file(format!("{dir}.wh..wh..opq"), ""),
            _ => {
                let target = format!("{}{}", self.dir(), self.name());
                Member::hard_link(&path, target)
            }
        };
        let member = match self.below(5) {
            0 if member.flag == b'5' => member.xattr("user.n", self.below(100).to_string()),
            _ => member,
        };
        let mtime = self.below(1 << 30).cast_signed();
        member.owner(self.below(3), self.below(3)).mtime(mtime)
    }

    fn tar(&mut self) -> Vec<u8> {
        let members = 1 + self.below(7);
        Tar::of((0..members).map(|_| self.member()).collect::<Vec<_>>())
    }
}

/// Both modes agree on what they refuse, and make the same of the rest; whenever a layer learns
/// what is below.
fn random() -> Result<(), Failed> {
    let seed = std::env::var("TARE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut numbers = Numbers(seed.unwrap_or(0x5eed_5eed_5eed_5eed));
    let (mut fine, mut refused) = (0, 0);
    for round in 0..400 {
        let tars: Vec<_> = (0..3).map(|_| numbers.tar()).collect();
        match compare(&tars) {
            Ok(true) => fine += 1,
            Ok(false) => refused += 1,
            Err(why) => return Err(format!("round {round}: {why}\n{}", shown(&tars)).into()),
        }
    }
    assert!(fine > 100 && refused > 50, "{fine} fine, {refused} refused");
    Ok(())
}

/// Whether the image is fine, in all ways of unpacking it.
fn compare(tars: &[Vec<u8>]) -> Result<bool, String> {
    let (layers, options) = (layers(tars, Packed::Raw), Options::default());
    let places = [Place::new(), Place::new(), Place::new()];
    let flat = unpack::flat(&places[0], &layers, &options);
    let late = unpack::overlay(&places[1], &layers, &options);
    let early = unpack::overlay_told(&places[2], &layers, &options, Told::AtOnce);
    places.iter().for_each(Place::check_canary);
    let (flat, late, early) = match (flat, late, early) {
        (Ok(flat), Ok(late), Ok(early)) => (flat, late, early),
        // Which of several bad layers is named depends on which is first to be read.
        (Err(_), Err(_), Err(_)) => return Ok(false),
        (flat, late, early) => {
            let (late, early) = (late.err(), early.err());
            return Err(format!("{:?} {late:?} {early:?}", flat.err()));
        }
    };
    let want = listing::full(&flat);
    for overlay in [&late, &early] {
        let found = listing::full(&overlay.path);
        if found != want {
            return Err(format!("flat {want:#?}\noverlay {found:#?}"));
        }
    }
    Ok(true)
}

/// What is in those tars, by our own reader.
fn shown(tars: &[Vec<u8>]) -> String {
    let mut lines = Vec::new();
    for tar in tars {
        lines.push("layer".to_owned());
        let mut reader = tare::image::tar::Reader::new(&tar[..]);
        let mut entry = tare::image::tar::Entry::default();
        while reader.next(&mut entry).unwrap_or(false) {
            let (path, link) = (entry.path.escape_ascii(), entry.link.escape_ascii());
            lines.push(format!("  {:?} {path} {link}", entry.kind));
        }
    }
    lines.join("\n")
}

fn bad_one() -> Result<(), Failed> {
    for bad in [0, 7, 19] {
        let mut layers: Vec<Layer> = (0..20)
            .map(|n| {
                layer(
                    n,
                    &Tar::of([Member::file(format!("f{n}"), vec![1; 100_000])]),
                    Packed::Gzip,
                )
            })
            .collect();
        layers[bad].diff_id = Digest::of(Algorithm::Sha256, b"another");
        let error = unpack::flat(&Place::new(), &layers, &Options::default())
            .err()
            .ok_or("not refused")?;
        let words = format!("layer {} (", bad + 1);
        assert!(error.to_string().contains(&words), "{error}");
        assert!(
            error.to_string().contains("its DiffID should be"),
            "{error}"
        );
    }
    Ok(())
}

fn stopped() -> Result<(), Failed> {
    let place = Place::new();
    let layers = [layer(0, &Tar::of([Member::file("f", "x")]), Packed::Gzip)];
    let progress = unpack::progress(&layers);
    progress.stop();
    let (rootfs, scratch) = (place.dir("rootfs"), place.dir("scratch"));
    let result = unpack_flat(
        &layers,
        rootfs.as_fd(),
        scratch.as_fd(),
        &Options::default(),
        &progress,
    );
    assert!(
        result
            .err()
            .ok_or("not stopped")?
            .to_string()
            .contains("stopped")
    );
    Ok(())
}

fn self_contained() -> Result<(), Failed> {
    let tars = [
        Tar::of([Member::dir("a/"), Member::file("a/x", "")]),
        Tar::of([
            Member::dir("a/"),
            Member::file("a/.wh.x", ""),
            Member::dir("b/"),
            Member::file("b/y", ""),
        ]),
        Tar::of([Member::file("b/z", "")]),
        Tar::of([Member::hard_link("h", "b/y")]),
        Tar::of([Member::file("top", "")]),
    ];
    let place = Place::new();
    let overlay = unpack::overlay(&place, &layers(&tars, Packed::Gzip), &Options::default())?;
    assert_eq!(overlay.self_contained, 3);
    Ok(())
}
