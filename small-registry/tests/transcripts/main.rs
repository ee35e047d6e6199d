//! The small registry, held to what a real one answered, and to what it says about itself.

mod recording;
mod replay;
mod shapes;
mod socket;
mod wire;
