//! The data assets of the embedded store.

mod common;

use std::sync::Arc;

use mlops_core::conformance::data::DataAssetsUnderTest;
use mlops_core::local::NetworkPolicy;

fn under_test() -> DataAssetsUnderTest {
    let (store, _) = common::fresh(NetworkPolicy::Refuse);
    DataAssetsUnderTest::new(Arc::new(store.data_assets()), store.artifacts())
}

mlops_core::data_asset_store_suite!(suite, under_test());
