//! The server over real connections: one binary, one module for each part of the protocol.

#[cfg(test)]
mod batches;
#[cfg(test)]
mod client;
#[cfg(test)]
mod corners;
#[cfg(test)]
mod counters;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod exchanges;
mod explain;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod light_queries;
mod numbers;
#[cfg(test)]
mod process;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod reduce_by;
#[cfg(test)]
mod staleness;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod uploads;
