//! (file_system)
