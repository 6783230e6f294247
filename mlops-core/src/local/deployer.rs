//! (deployer)
