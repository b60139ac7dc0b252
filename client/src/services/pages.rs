//! Lists as streams: page after page, as it is consumed.

use crate::connect::Cluster;
use crate::error::Error;
use bytes::Bytes;
use futures_util::stream::{self, Stream, TryStreamExt};
use plantao_proto::public::v1;
use std::future::Future;

/// The largest that a node gives.
const PAGE_SIZE: u32 = 500;

/// Fetches pages until one comes without a token for the next.
fn paged<T, F, Fut>(fetch: F) -> impl Stream<Item = Result<T, Error>>
where
    F: Fn(v1::Page) -> Fut,
    Fut: Future<Output = Result<(Vec<T>, Bytes), Error>>,
{
    stream::try_unfold((fetch, Some(Bytes::new())), |(fetch, token)| async move {
        let Some(token) = token else { return Ok(None) };
        let (items, next) = fetch(v1::Page { size: PAGE_SIZE, token: token.clone() }).await?;
        if !next.is_empty() && next == token {
            return Err(Error::Protocol("a page that leads to itself"));
        }
        let next = if next.is_empty() { None } else { Some(next) };
        Ok(Some((stream::iter(items.into_iter().map(Ok)), (fetch, next))))
    })
    .try_flatten()
}

macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident: $list:ident($request:ident) -> $item:ident in $field:ident;)*) => {
        impl Cluster {$(
            $(#[$doc])*
            pub fn $name(&self, request: v1::$request) -> impl Stream<Item = Result<v1::$item, Error>> + use<> {
                let cluster = self.clone();
                paged(move |page| {
                    let (cluster, mut request) = (cluster.clone(), request.clone());
                    request.page = Some(page);
                    async move {
                        let response = cluster.$list(request).await?;
                        Ok((response.$field, response.next_page_token))
                    }
                })
            }
        )*}
    };
}

pages! {
    /// All units; `page` of the request is ignored, here and below.
    units: list_units(ListUnitsRequest) -> Unit in units;
    /// All professionals of a unit, or of all.
    practitioners: list_practitioners(ListPractitionersRequest) -> Practitioner in practitioners;
    /// All rooms of a unit, or of all.
    rooms: list_rooms(ListRoomsRequest) -> Room in rooms;
    /// All patients, ids only.
    patients: list_patients(ListPatientsRequest) -> PatientSummary in patients;
    /// All bookings within the bounds of the request.
    appointments: list_appointments(ListAppointmentsRequest) -> Appointment in appointments;
    /// All record heads of a patient.
    records: list_records(ListRecordsRequest) -> RecordHead in records;
    /// All consents of a patient, without documents.
    consents: list_consents(ListConsentsRequest) -> Consent in consents;
    /// All images of a patient, without what is sealed.
    images: list_images(ListImagesRequest) -> Image in images;
}

impl Cluster {
    /// All entries of the audit trail that match, from `from_sequence` on, up to the end as it is when reached.
    pub fn entries(
        &self,
        request: v1::ListEntriesRequest,
    ) -> impl Stream<Item = Result<v1::AuditEntry, Error>> + use<> {
        let cluster = self.clone();
        stream::try_unfold(Some(request), move |request| {
            let cluster = cluster.clone();
            async move {
                let Some(request) = request else { return Ok(None) };
                let response =
                    cluster.list_entries(v1::ListEntriesRequest { page_size: PAGE_SIZE, ..request.clone() }).await?;
                let next = response.next_sequence;
                // The end: nothing more was found, or the node does not move on.
                let more = next > request.from_sequence && !(next == 0 || response.entries.is_empty());
                let following = more.then_some(v1::ListEntriesRequest { from_sequence: next, ..request });
                Ok::<_, Error>(Some((stream::iter(response.entries.into_iter().map(Ok)), following)))
            }
        })
        .try_flatten()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn collect(pages: &[(&[u32], &'static [u8])]) -> Result<Vec<u32>, Error> {
        paged(|page| {
            let at = if page.token.is_empty() { 0 } else { usize::from(page.token[0]) };
            let (items, next) = pages[at];
            async move { Ok((items.to_vec(), Bytes::from_static(next))) }
        })
        .try_collect()
        .await
    }

    #[tokio::test]
    async fn pages_are_joined_and_an_empty_one_does_not_end_the_list() {
        assert_eq!(collect(&[(&[], b"")]).await.unwrap(), Vec::<u32>::new());
        assert_eq!(collect(&[(&[1, 2], b"\x01"), (&[], b"\x02"), (&[3], b"")]).await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_page_that_leads_to_itself_is_an_error_and_no_loop() {
        assert!(matches!(collect(&[(&[1], b"\x01"), (&[2], b"\x01")]).await, Err(Error::Protocol(_))));
    }
}
