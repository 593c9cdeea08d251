//! A deserializer over serde_json's, stricter than it. An object is read from an object
//! alone: serde_json takes an array for one, field by field, and `"linux": []` would be a
//! container without a namespace. A value of an enumeration is read from a string alone.
//! And keys that no type asks for are noticed.

use serde::de::IgnoredAny;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use std::cell::Cell;
use std::fmt;

/// See the module's description.
pub struct Strict<'a, D> {
    inner: D,
    saw_unknown: &'a Cell<bool>,
}

impl<'a, D> Strict<'a, D> {
    /// Over `inner`. `saw_unknown` becomes true at the first key that no type asks for.
    pub fn new(inner: D, saw_unknown: &'a Cell<bool>) -> Self {
        Self { inner, saw_unknown }
    }
}

/// What holds no other value goes straight to serde_json.
macro_rules! forward {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

/// What may hold others stays watched.
macro_rules! watch {
    ($($method:ident($($name:ident: $kind:ty),*) $from_array:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            let watched = Watched {
                inner: visitor,
                saw_unknown: self.saw_unknown,
                from_array: $from_array,
            };
            self.inner.$method($($name,)* watched)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    watch! {
        deserialize_option() true
        deserialize_seq() true
        deserialize_map() true
        deserialize_newtype_struct(name: &'static str) true
        deserialize_unit_struct(name: &'static str) true
        deserialize_tuple(len: usize) true
        deserialize_tuple_struct(name: &'static str, len: usize) true
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) false
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_str(Variant(visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.saw_unknown.set(true);
        self.inner.deserialize_ignored_any(visitor)
    }
}

/// An enumeration's visitor, which is to see a string.
struct Variant<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Variant<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_enum(text.into_deserializer())
    }
}

/// A type's visitor, or accessor, or seed, whose inner values stay watched.
struct Watched<'a, T> {
    inner: T,
    saw_unknown: &'a Cell<bool>,
    from_array: bool,
}

impl<'a, T> Watched<'a, T> {
    fn with<U>(&self, inner: U) -> Watched<'a, U> {
        Watched {
            inner,
            saw_unknown: self.saw_unknown,
            from_array: true,
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from_array {
            self.inner.expecting(f)
        } else {
            f.write_str("an object")
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Strict::new(inner, self.saw_unknown))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner
            .visit_newtype_struct(Strict::new(inner, self.saw_unknown))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<V::Value, A::Error> {
        if self.from_array {
            let watched = self.with(elements);
            return self.inner.visit_seq(watched);
        }
        // The reader is to stand behind the array that is refused.
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::invalid_type(Unexpected::Seq, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        let watched = self.with(members);
        self.inner.visit_map(watched)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Watched<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Watched<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Watched<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Strict::new(inner, self.saw_unknown))
    }
}
