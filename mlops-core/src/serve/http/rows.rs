//! Rows in JSON, as users of Azure Machine Learning and of MLflow send them.
//!
//! A body is read twice: once to see that it is JSON, which form it has and how its columns are called, which may stand behind
//! the data; then straight into columns of the types that the model wants. Nothing is kept of what the model does not take.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cells::{Cell, Columns, Fault};
use super::failure::{Code, Failure};
use crate::data::Table;
use crate::model::Signature;

/// What the first look at a body shows.
#[derive(Debug)]
pub(super) struct Envelope {
    payload: Payload,
    shape: Shape,
    /// The value of the field by which callers are told apart, if it is there.
    pub(super) routing: Option<String>,
}

/// Under which name the rows stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    InputData,
    Data,
    DataframeSplit,
    DataframeRecords,
    Instances,
    Inputs,
}

impl Payload {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "input_data" => Self::InputData,
            "data" => Self::Data,
            "dataframe_split" => Self::DataframeSplit,
            "dataframe_records" => Self::DataframeRecords,
            "instances" => Self::Instances,
            "inputs" => Self::Inputs,
            _ => return None,
        })
    }

    /// An object stands for columns by name, or for `columns`, `index` and `data` apart.
    fn splits(self) -> bool {
        matches!(self, Self::InputData | Self::DataframeSplit)
    }
}

/// How the rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// A list of rows, each a list or an object.
    Rows,
    /// `columns` and `data` apart.
    Split(Option<Vec<String>>),
    /// Lists of values by column.
    Columns,
}

const FORMS: &str =
    "expected one of `input_data`, `data`, `dataframe_split`, `dataframe_records`, `instances`, `inputs`";

impl Envelope {
    /// Looks at a body. `routing` names the field by which callers are told apart.
    pub(super) fn read(body: &[u8], routing: Option<&str>) -> Result<Self, Failure> {
        let mut fault = None;
        let mut json = serde_json::Deserializer::from_slice(body);
        let look = Look { routing, fault: &mut fault };
        let read = json.deserialize_map(look).and_then(|envelope| json.end().map(|()| envelope));
        read.map_err(|error| refused(&error, fault))
    }

    /// Reads the rows into what the model takes.
    pub(super) fn rows(
        &self,
        body: &[u8],
        signature: &Signature,
        max_rows: usize,
    ) -> Result<Table<'static>, Failure> {
        let mut fault = None;
        let positions = self.positions(signature).map_err(invalid)?;
        let names = Places::new(signature);
        let mut filling = Filling {
            names: &names,
            positions,
            seen: vec![false; signature.inputs.len()],
            columns: Columns::new(signature),
            max_rows,
            fault: &mut fault,
        };
        let mut json = serde_json::Deserializer::from_slice(body);
        let outer = Outer { payload: self.payload, shape: &self.shape, filling: &mut filling };
        let read = json.deserialize_map(outer);
        let columns = filling.columns;
        read.map_err(|error| refused(&error, fault))?;
        columns.finish().map_err(invalid)
    }

    /// For each place in a row, the feature that stands there.
    fn positions(&self, signature: &Signature) -> Result<Vec<Option<usize>>, Fault> {
        let Shape::Split(Some(columns)) = &self.shape else {
            return Ok((0..signature.inputs.len()).map(Some).collect());
        };
        // Most callers send what the model takes, in its order.
        let inputs = &signature.inputs;
        if columns.len() == inputs.len()
            && columns.iter().zip(inputs).all(|(name, input)| *name == input.name)
        {
            return Ok((0..inputs.len()).map(Some).collect());
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, name) in columns.iter().enumerate() {
            if places.insert(name, place).is_some() {
                return Err(Fault::new("the column comes twice").in_column(name));
            }
        }
        let mut positions = vec![None; columns.len()];
        for (feature, input) in signature.inputs.iter().enumerate() {
            match places.get(input.name.as_str()).and_then(|place| positions.get_mut(*place)) {
                Some(position) => *position = Some(feature),
                None if input.nullable => {}
                None => return Err(Fault::new("the model needs the column").in_column(&input.name)),
            }
        }
        Ok(positions)
    }
}

pub(super) fn invalid(fault: Fault) -> Failure {
    let mut failure = Failure::new(Code::InvalidInput, fault.message);
    if let Some(column) = fault.column {
        failure = failure.quoting("column", &column);
    }
    match fault.row {
        Some(row) => failure.with("row", row),
        None => failure,
    }
}

/// What is wrong with a body: what was found wrong with its meaning, else that it is no JSON.
pub(super) fn refused(error: &serde_json::Error, fault: Option<Fault>) -> Failure {
    match fault {
        Some(fault) => invalid(fault),
        None if error.is_data() => Failure::new(Code::InvalidInput, "the body is not an object of rows")
            .with("line", error.line())
            .with("position", error.column()),
        None => Failure::new(Code::MalformedJson, "the body is not JSON")
            .with("line", error.line())
            .with("position", error.column()),
    }
}

/// Keeps the fault for the caller, and breaks off the reading.
pub(super) fn stop<T, E: serde::de::Error>(slot: &mut Option<Fault>, fault: Fault) -> Result<T, E> {
    slot.get_or_insert(fault);
    Err(E::custom("refused"))
}

/// The first reading.
struct Look<'f> {
    routing: Option<&'f str>,
    fault: &'f mut Option<Fault>,
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut found, mut routing, mut with_params) = (None, None, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.routing == Some(key.as_ref()) {
                if routing.is_some() {
                    return stop(self.fault, Fault::new("the routing field comes twice"));
                }
                match map.next_value_seed(RoutingValue)? {
                    Some(value) => routing = Some(value),
                    None => return stop(self.fault, Fault::new("the routing field is a text or a number")),
                }
            } else if let Some(payload) = Payload::named(&key) {
                if found.is_some() {
                    return stop(self.fault, Fault::new(format!("there are two lots of rows; {FORMS}")));
                }
                let shape = map.next_value_seed(ShapeSeed { payload, fault: &mut *self.fault })?;
                found = Some((payload, shape));
            } else if key == "params" && !with_params {
                with_params = true;
                if map.next_value_seed(EmptySeed)? {
                    return stop(self.fault, Fault::new("the model takes no `params`"));
                }
            } else {
                let key = crate::error::quote(&key);
                return stop(self.fault, Fault::new(format!("the field {key} is not known; {FORMS}")));
            }
        }
        match found {
            Some((payload, shape)) => Ok(Envelope { payload, shape, routing }),
            None => stop(self.fault, Fault::new(format!("there are no rows; {FORMS}"))),
        }
    }
}

/// Everything that is read over, as nothing.
macro_rules! nothing_for {
    ($($kind:ident)*) => { $(nothing_for!(@ $kind);)* };
    (@ numbers) => {
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }
    };
    (@ text) => {
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(None)
        }
    };
    (@ list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    };
    (@ rest) => {
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    };
}

/// A text or a number as text; nothing for anything else.
struct RoutingValue;

impl<'de> DeserializeSeed<'de> for RoutingValue {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RoutingValue {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok((!value.is_empty() && value.len() <= 512).then(|| value.to_owned()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    nothing_for! { list rest }
}

/// Whether there is anything in an optional object.
struct EmptySeed;

impl<'de> DeserializeSeed<'de> for EmptySeed {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let map: Option<HashMap<String, IgnoredAny>> = serde::Deserialize::deserialize(deserializer)?;
        Ok(map.is_some_and(|map| !map.is_empty()))
    }
}

/// How the rows under one name are written.
struct ShapeSeed<'f> {
    payload: Payload,
    fault: &'f mut Option<Fault>,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        if self.payload == Payload::DataframeSplit {
            return stop(self.fault, Fault::new("`dataframe_split` is an object with `columns` and `data`"));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        if !self.payload.splits() {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            if self.payload == Payload::Inputs {
                return Ok(Shape::Columns);
            }
            return stop(self.fault, Fault::new("expected a list of rows"));
        }
        let (mut columns, mut data, mut others, mut keys) = (None, false, false, 0_usize);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            keys += 1;
            match key.as_ref() {
                "columns" if columns.is_none() => match map.next_value_seed(Names)? {
                    Some(names) => columns = Some(names),
                    None => return stop(self.fault, Fault::new("`columns` is a list of texts")),
                },
                "data" if !data => {
                    data = true;
                    map.next_value::<IgnoredAny>()?;
                }
                "columns" | "data" => return stop(self.fault, Fault::new(format!("`{key}` comes twice"))),
                _ => {
                    others |= key != "index";
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (data, others) {
            (true, false) => Ok(Shape::Split(columns)),
            (false, _) if self.payload == Payload::InputData && columns.is_none() && keys > 0 => {
                Ok(Shape::Columns)
            }
            _ => stop(self.fault, Fault::new("expected `columns`, `index` and `data`")),
        }
    }
}

/// A list of texts; nothing for a list of anything else.
struct Names;

impl<'de> DeserializeSeed<'de> for Names {
    type Value = Option<Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Some(Vec::new());
        while let Some(name) = seq.next_element_seed(Name)? {
            match (&mut names, name) {
                (Some(names), Some(name)) => names.push(name),
                _ => names = None,
            }
        }
        Ok(names)
    }

    nothing_for! { numbers text rest }
}

/// A text; nothing for anything else.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Some(name.to_owned()))
    }

    nothing_for! { numbers list rest }
}

/// Where a model's inputs stand, by name. Rows that are lists of values need no names.
struct Places<'s> {
    signature: &'s Signature,
    by_name: OnceCell<HashMap<&'s str, usize>>,
}

impl<'s> Places<'s> {
    fn new(signature: &'s Signature) -> Self {
        Self { signature, by_name: OnceCell::new() }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let by_name = || {
            let inputs = self.signature.inputs.iter().enumerate();
            inputs.map(|(place, input)| (input.name.as_str(), place)).collect()
        };
        self.by_name.get_or_init(by_name).get(name).copied()
    }
}

/// The second reading: rows into columns.
struct Filling<'f, 's> {
    names: &'f Places<'s>,
    positions: Vec<Option<usize>>,
    /// Which features the row at hand has had.
    seen: Vec<bool>,
    columns: Columns<'s>,
    max_rows: usize,
    fault: &'f mut Option<Fault>,
}

impl Filling<'_, '_> {
    fn stop<T, E: serde::de::Error>(&mut self, fault: Fault) -> Result<T, E> {
        stop(self.fault, fault)
    }

    fn push<E: serde::de::Error>(&mut self, feature: usize, cell: Cell<'_>) -> Result<(), E> {
        let Some(column) = self.columns.columns.get_mut(feature) else { return Ok(()) };
        match column.push(cell) {
            Ok(()) => Ok(()),
            Err(fault) => self.stop(fault),
        }
    }

    /// Ends a row: what it did not have is missing.
    fn end_row<E: serde::de::Error>(&mut self) -> Result<(), E> {
        for feature in 0..self.seen.len() {
            if !std::mem::replace(&mut self.seen[feature], false) {
                self.push(feature, Cell::Missing)?;
            }
        }
        self.columns.rows += 1;
        self.check_rows(self.columns.rows)
    }

    fn check_rows<E: serde::de::Error>(&mut self, rows: usize) -> Result<(), E> {
        if rows <= self.max_rows {
            return Ok(());
        }
        self.stop(Fault::new(format!("there are more than {} rows", self.max_rows)))
    }
}

struct Outer<'f, 'g, 's> {
    payload: Payload,
    shape: &'f Shape,
    filling: &'f mut Filling<'g, 's>,
}

impl<'de> Visitor<'de> for Outer<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if Payload::named(&key) != Some(self.payload) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match self.shape {
                Shape::Rows => map.next_value_seed(RowsSeed(&mut *self.filling))?,
                Shape::Columns => map.next_value_seed(ColumnsSeed(&mut *self.filling))?,
                Shape::Split(_) => map.next_value_seed(SplitSeed(&mut *self.filling))?,
            }
        }
        Ok(())
    }
}

macro_rules! seed {
    ($name:ident, $method:ident) => {
        struct $name<'f, 'g, 's>(&'f mut Filling<'g, 's>);

        impl<'de> DeserializeSeed<'de> for $name<'_, '_, '_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.$method(self)
            }
        }
    };
}

seed!(SplitSeed, deserialize_map);
seed!(ColumnsSeed, deserialize_map);
seed!(RowsSeed, deserialize_any);

impl<'de> Visitor<'de> for SplitSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`columns`, `index` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "data" {
                map.next_value_seed(RowsSeed(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Everything that is not what was expected, as one fault.
macro_rules! scalars_are {
    ($what:expr) => {
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }

        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
            self.0.stop($what(&*self.0))
        }
    };
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(RowSeed(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.0.stop(Fault::new("expected a list of rows"))
    }

    scalars_are!(|_: &Filling<'_, '_>| Fault::new("expected a list of rows"));
}

seed!(RowSeed, deserialize_any);

impl<'de> Visitor<'de> for RowSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (filling, mut place) = (self.0, 0);
        let width = filling.positions.len();
        loop {
            let more = match filling.positions.get(place).copied() {
                Some(Some(feature)) => {
                    if let Some(seen) = filling.seen.get_mut(feature) {
                        *seen = true;
                    }
                    seq.next_element_seed(CellSeed { feature, filling: &mut *filling })?.is_some()
                }
                // Columns that the model does not know, or values beyond the last.
                _ => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
            place += 1;
        }
        let names_needed = !filling.seen.is_empty();
        if names_needed && place != width {
            let row = filling.columns.rows;
            return filling
                .stop(Fault::new(format!("the row has {place} values, expected {width}")).in_row(row));
        }
        filling.end_row()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let filling = self.0;
        while let Some(feature) = map.next_key_seed(NameSeed(filling.names))? {
            let Some(feature) = feature else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if filling.seen.get(feature).copied().unwrap_or_default() {
                let fault = Fault::new("the column comes twice in the row").in_row(filling.columns.rows);
                return filling.stop(fault);
            }
            if let Some(seen) = filling.seen.get_mut(feature) {
                *seen = true;
            }
            map.next_value_seed(CellSeed { feature, filling: &mut *filling })?;
        }
        filling.end_row()
    }

    scalars_are!(|filling: &Filling<'_, '_>| {
        Fault::new("a row is a list or an object").in_row(filling.columns.rows)
    });
}

/// A name to the feature that has it, without keeping the name.
struct NameSeed<'f, 's>(&'f Places<'s>);

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(name))
    }
}

struct CellSeed<'f, 'g, 's> {
    feature: usize,
    filling: &'f mut Filling<'g, 's>,
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl CellSeed<'_, '_, '_> {
    fn nested<E: serde::de::Error>(self) -> Result<(), E> {
        let (row, column) = match self.filling.columns.columns.get(self.feature) {
            Some(column) => (column.len(), column.name().to_owned()),
            None => (0, String::new()),
        };
        self.filling
            .stop(Fault::new("expected one value, got a list or an object").in_row(row).in_column(&column))
    }
}

impl<'de> Visitor<'de> for CellSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.filling.push(self.feature, Cell::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.filling.push(self.feature, Cell::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let cell = i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int);
        self.filling.push(self.feature, cell)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.filling.push(self.feature, Cell::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.filling.push(self.feature, Cell::Text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.filling.push(self.feature, Cell::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.nested()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.nested()
    }
}

impl<'de> Visitor<'de> for ColumnsSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of values by column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let filling = self.0;
        while let Some(feature) = map.next_key_seed(NameSeed(filling.names))? {
            let Some(feature) = feature else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut filling.seen[feature], true) {
                return filling.stop(Fault::new("a column comes twice"));
            }
            map.next_value_seed(ColumnSeed { feature, filling: &mut *filling })?;
        }
        // Columns that are not there are missing in every row.
        for feature in 0..filling.seen.len() {
            let rows = if filling.seen[feature] { 0 } else { filling.columns.rows };
            for _ in 0..rows {
                filling.push(feature, Cell::Missing)?;
            }
        }
        Ok(())
    }
}

struct ColumnSeed<'f, 'g, 's> {
    feature: usize,
    filling: &'f mut Filling<'g, 's>,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let column = self.filling.columns.columns.get(self.feature).map(|c| c.name().to_owned());
        match deserializer
            .deserialize_seq(ColumnVisitor { feature: self.feature, filling: &mut *self.filling })
        {
            Err(error) if self.filling.fault.is_none() => {
                let fault = Fault::new("expected a list of values").in_column(&column.unwrap_or_default());
                self.filling.stop(fault).map_err(|_: D::Error| error)
            }
            answer => answer,
        }
    }
}

struct ColumnVisitor<'f, 'g, 's> {
    feature: usize,
    filling: &'f mut Filling<'g, 's>,
}

impl<'de> Visitor<'de> for ColumnVisitor<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (filling, mut rows) = (self.filling, 0);
        while seq.next_element_seed(CellSeed { feature: self.feature, filling: &mut *filling })?.is_some() {
            rows += 1;
            filling.check_rows(rows)?;
        }
        filling.columns.rows = filling.columns.rows.max(rows);
        Ok(())
    }
}
