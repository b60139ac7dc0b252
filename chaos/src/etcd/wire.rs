//! The few messages of etcd's API (`etcdserverpb.KV`, version 3) that a comparison needs, with the field numbers of its
//! published description. Fields that are never set or read are left out.

/// Puts one value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: bytes::Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PutResponse {}

/// Reads one value; linearizable, for `serializable` (7) is left false.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: bytes::Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeResponse {
    #[prost(int64, tag = "4")]
    pub(super) count: i64,
}

/// If all of `compare` hold, `success`, else `failure`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    pub(super) failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
}

/// Left at their defaults, `result` (1) is EQUAL and `target` (2) is VERSION.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Compare {
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) key: bytes::Bytes,
    #[prost(oneof = "Target", tags = "4")]
    pub(super) target: Option<Target>,
}

#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub(super) enum Target {
    /// 0: the key does not exist.
    #[prost(int64, tag = "4")]
    Version(i64),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RequestOp {
    #[prost(oneof = "Operation", tags = "1, 2")]
    pub(super) operation: Option<Operation>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Operation {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
}
