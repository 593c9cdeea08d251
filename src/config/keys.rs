//! Which keys an object of a config may have, and which words an enumeration, as serde itself
//! knows them, and which of them was meant.

use super::path::{Path, Step};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::cell::Cell;
use std::fmt;

/// The keys of the object at `path` of a `T`; none, where that is not an object with keys
/// of its own.
pub fn known<'de, T: Deserialize<'de>>(path: &Path) -> &'static [&'static str] {
    let found = Cell::new(&[][..]);
    // A probe never gets to the end of a value: the answer is in `found`.
    let _ = T::deserialize(Probe {
        way: &path.0,
        found: &found,
    });
    found.get()
}

/// The words of an enumeration, in its own order.
pub fn words<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let found = Cell::new(&[][..]);
    // As in `known`.
    let _ = T::deserialize(Probe {
        way: &[],
        found: &found,
    });
    found.get()
}

/// The known key that `given` was most likely meant to be.
pub fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    // Go's decoder does not tell letters' case apart: such a key worked with runc.
    if let Some(key) = known.iter().find(|key| key.eq_ignore_ascii_case(given)) {
        return Some(key);
    }
    let distance =
        |key: &&&str| strsim::damerau_levenshtein(&given.to_lowercase(), &key.to_lowercase());
    let nearest = known.iter().min_by_key(distance)?;
    let allowed = given.len().max(nearest.len()).div_ceil(3);
    (distance(&nearest) <= allowed).then_some(*nearest)
}

/// A deserializer that has no value: it walks a path through a type, and at its end notes
/// the fields the type asks for.
#[derive(Clone, Copy)]
struct Probe<'a> {
    way: &'a [Step],
    found: &'a Cell<&'static [&'static str]>,
}

/// That the probe is done, or stuck. Nobody reads it.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stop")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de, 'a> Deserializer<'de> for Probe<'a> {
    type Error = Stop;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.way.is_empty() {
            self.found.set(fields);
            return Err(Stop);
        }
        visitor.visit_map(Members(Some(self)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        if self.way.is_empty() {
            self.found.set(words);
        }
        Err(Stop)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_map(Members(Some(self)))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(Elements(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The one member on the way.
struct Members<'a>(Option<Probe<'a>>);

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        match self.0.and_then(|probe| probe.way.first()) {
            Some(Step::Key(key)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            _ => Err(Stop),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let probe = self.0.take().ok_or_else(|| Stop::custom(""))?;
        seed.deserialize(Probe {
            way: &probe.way[1..],
            ..probe
        })
    }
}

/// The one element on the way.
struct Elements<'a>(Probe<'a>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        match self.0.way {
            [Step::Index(_), rest @ ..] => seed
                .deserialize(Probe {
                    way: rest,
                    ..self.0
                })
                .map(Some),
            _ => Err(Stop),
        }
    }
}
