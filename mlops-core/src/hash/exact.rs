//! Walks a value as serde sees it and refuses the numbers that JSON would change in silence.
//!
//! `serde_json` writes NaN and infinities as `null`, and canonical JSON writes every integer as a double. Both would give
//! two different values one digest, so they are found before anything is written.

use std::fmt;

use serde::ser::{self, Serialize};

/// The largest integer up to which every integer is a double: 2⁵³ − 1.
const SAFE: u128 = (1 << 53) - 1;

/// Checks that every number in `value` survives canonical JSON.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Inexact> {
    value.serialize(Walk)
}

/// A number that JSON cannot hold, in words.
#[derive(Debug)]
pub(super) struct Inexact(String);

impl fmt::Display for Inexact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Inexact {}

impl ser::Error for Inexact {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn integer(value: impl fmt::Display, magnitude: u128) -> Result<(), Inexact> {
    if magnitude <= SAFE {
        Ok(())
    } else {
        Err(Inexact(format!(
            "the integer {value} lies beyond 2^53 - 1 and has no exact JSON number; send it as a string"
        )))
    }
}

fn float(value: f64) -> Result<(), Inexact> {
    if value.is_finite() { Ok(()) } else { Err(Inexact(format!("{value} has no JSON number"))) }
}

#[derive(Clone, Copy)]
struct Walk;

macro_rules! accept {
    ($($method:ident($ty:ty)),*) => {$(
        fn $method(self, _: $ty) -> Result<(), Inexact> {
            Ok(())
        }
    )*};
}

macro_rules! integers {
    ($($method:ident($ty:ty)),*) => {$(
        fn $method(self, value: $ty) -> Result<(), Inexact> {
            integer(value, value.unsigned_abs().into())
        }
    )*};
}

impl ser::Serializer for Walk {
    type Ok = ();
    type Error = Inexact;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    accept!(
        serialize_bool(bool),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32)
    );
    integers!(serialize_i64(i64), serialize_i128(i128));

    fn serialize_u64(self, value: u64) -> Result<(), Inexact> {
        integer(value, value.into())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Inexact> {
        integer(value, value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Inexact> {
        float(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Inexact> {
        float(value)
    }

    fn serialize_none(self) -> Result<(), Inexact> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Inexact> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Inexact> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Inexact> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Inexact> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Inexact> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Inexact> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Inexact> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Inexact> {
        Ok(self)
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for Walk {
            type Ok = ();
            type Error = Inexact;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Inexact> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Inexact> {
                Ok(())
            }
        }
    )*};
}

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Walk {
            type Ok = ();
            type Error = Inexact;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Inexact> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Inexact> {
                Ok(())
            }
        }
    )*};
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Walk {
    type Ok = ();
    type Error = Inexact;

    // Keys become strings in JSON, integers among them, so they lose nothing.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Inexact> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Inexact> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Inexact> {
        Ok(())
    }
}
