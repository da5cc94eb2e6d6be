//! The demo.
use crate::label::Lang;
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {}
pub(crate) async fn run(_: DemoArgs, _: Lang) -> Result<(), std::io::Error> { Ok(()) }
