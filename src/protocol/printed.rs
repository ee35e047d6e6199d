//! An object as it was printed, member by member: what is not looked at stays to the byte.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Object;

/// The members in their order.
pub struct Printed(Vec<(String, Box<RawValue>)>);

impl Printed {
    /// A member, read.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        let member = self.0.iter().find(|(own, _)| own == name);
        member.and_then(|(_, value)| serde_json::from_str(value.get()).ok())
    }

    /// The object with another value for a member that it has.
    pub fn with(mut self, name: &str, value: Box<RawValue>) -> Vec<u8> {
        if let Some((_, own)) = self.0.iter_mut().find(|(own, _)| own == name) {
            *own = value;
        }
        self.without(&[])
    }

    /// The object without some members.
    pub fn without(&self, names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        self.push(&mut out, |name, _| !names.contains(&name));
        out
    }

    /// Appends the object with the members that are kept.
    pub fn push(&self, out: &mut Vec<u8>, is_kept: impl Fn(&str, &RawValue) -> bool) {
        let mut object = Object::open(out);
        for (name, value) in self.0.iter().filter(|(name, value)| is_kept(name, value)) {
            object.key(name).extend_from_slice(value.get().as_bytes());
        }
        object.close();
    }
}

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Printed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Printed, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Printed(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
