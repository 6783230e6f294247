//! Enumerations that keep values nobody here knows: Azure adds some every year, and what is read must be written back.

/// Makes an enumeration whose values are texts: written as the schema spells them, read in any case, with `Other` for a value
/// that is none of them.
macro_rules! open_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[non_exhaustive]
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A value that this crate does not know, as the service spelt it.
            Other(String),
        }

        impl $name {
            /// The values that this crate knows.
            pub const KNOWN: &'static [&'static str] = &[$($text),+];

            /// The value as it is sent.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $(if text.eq_ignore_ascii_case($text) {
                    return Self::$variant;
                })+
                Self::Other(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(&*text))
            }
        }
    };
}

open_enum! {
    /// Whether something can be reached from public networks, or is on.
    ///
    /// ```
    /// use mlops_azure::wire::open::Switch;
    /// assert_eq!(serde_json::from_str::<Switch>("\"enabled\"")?, Switch::Enabled);
    /// let unknown: Switch = serde_json::from_str("\"SecuredByPerimeter\"")?;
    /// assert_eq!(serde_json::to_string(&unknown)?, "\"SecuredByPerimeter\"");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub enum Switch {
        /// It is.
        Enabled = "Enabled",
        /// It is not.
        Disabled = "Disabled",
    }
}

open_enum! {
    /// How far a resource's creation, change or removal is.
    pub enum ProvisioningState {
        /// It is being made.
        Creating = "Creating",
        /// It is being changed.
        Updating = "Updating",
        /// It is being removed.
        Deleting = "Deleting",
        /// It is there.
        Succeeded = "Succeeded",
        /// What was asked for failed; the resource may be there, and may be written again or removed.
        Failed = "Failed",
        /// What was asked for was cancelled.
        Canceled = "Canceled",
        /// It is being scaled.
        Scaling = "Scaling",
    }
}
