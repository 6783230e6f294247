//! Who somebody is: their roles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::Actor;
use crate::id::ActorId;

/// Knows in which roles somebody acts: a table, or what a directory said when they signed in.
///
/// # Contract
/// * It is a pure look-up. Somebody who is not known is `None`, and may do nothing.
///
/// ```
/// use std::collections::BTreeMap;
/// use mlops_core::ActorId;
/// use mlops_core::governance::Principals;
/// let ann = ActorId::new("ann")?;
/// let known = BTreeMap::from([(ann.clone(), ["trainer".to_owned()].into())]);
/// assert!(known.actor(&ann).is_some_and(|actor| actor.roles.contains("trainer")));
/// assert_eq!(known.actor(&ActorId::new("eve")?), None);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub trait Principals: fmt::Debug + Send + Sync + 'static {
    /// Somebody with their roles; `None` for who is not known.
    fn actor(&self, id: &ActorId) -> Option<Actor>;
}

impl Principals for BTreeMap<ActorId, BTreeSet<String>> {
    fn actor(&self, id: &ActorId) -> Option<Actor> {
        self.get(id).map(|roles| Actor { id: id.clone(), roles: roles.clone() })
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Principals + ?Sized> Principals for $pointer<T> {
            fn actor(&self, id: &ActorId) -> Option<Actor> {
                (**self).actor(id)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Principals) {}
