//! The gRPC contract of `wire/control.proto` under our own names.
#![allow(missing_docs, reason = "generated; the contract is documented in wire/control.proto")]

tonic::include_proto!("holdfast.control.v1");
