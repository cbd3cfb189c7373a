//! What several tests need: the binary with a home of its own, a terminal to run it in, an
//! environment's directories, and a shim's other end.

pub mod daemon;
pub mod dockerd;
pub mod ending;
pub mod home;
pub mod place;
pub mod processes;
pub mod programs;
pub mod proxy;
pub mod pty;
pub mod registry;
pub mod talk;
pub mod traces;
pub mod world;
pub mod zone;

/// Makes a test of each function for each engine that can be used here.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod native {
            $(#[tokio::test]
            async fn $name() {
                let mut place = $crate::common::place::Place::new();
                if let Some(engine) = $crate::native::usable(&place).await {
                    super::$name(&engine, &mut place).await;
                }
            })*
        }
        mod docker {
            $(#[tokio::test]
            async fn $name() {
                if $crate::docker::engine_answers() {
                    let mut boxed = $crate::docker::Boxed::of($crate::docker::Image::busybox());
                    super::$name(&boxed.engine(), &mut boxed.place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// The same, with a world that the box's gateway is in.
macro_rules! on_both_engines_in_a_world {
    ($($name:ident),* $(,)?) => {
        mod native {
            $(#[tokio::test]
            async fn $name() {
                let Some(world) = $crate::common::world::World::beside() else { return };
                let mut place = $crate::common::place::Place::new();
                if let Some(engine) = $crate::native::usable(&place).await {
                    super::$name(&world, &engine, &mut place).await;
                }
            })*
        }
        mod docker {
            $(#[tokio::test]
            async fn $name() {
                let Some(world) = $crate::common::world::World::beside() else { return };
                if $crate::docker::engine_answers() {
                    let mut boxed = $crate::docker::Boxed::of($crate::docker::Image::busybox());
                    super::$name(&world, &boxed.engine(), &mut boxed.place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines_in_a_world;
