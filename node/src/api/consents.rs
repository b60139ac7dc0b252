//! Consents.

use super::{convert, refuse, writes};
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

writes! {
    v1::consent_service_server::ConsentService;
    grant_consent: GrantConsentRequest -> GrantConsentResponse, "GrantConsent", convert::consent_draft;
    revoke_consent: RevokeConsentRequest -> RevokeConsentResponse, "RevokeConsent", convert::revoke_consent_draft;
    ;
    async fn get_consent(
        &self,
        request: Request<v1::GetConsentRequest>,
    ) -> Result<Response<v1::GetConsentResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::consent_id("consent_id", &request.get_ref().consent_id).map_err(refuse)?;
        let (row, document) = self.0.consent(&actor, id).await.map_err(refuse)?;
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::GetConsentResponse { as_of, consent: Some(convert::consent(id, &row, document)) }))
    }

    async fn list_consents(
        &self,
        request: Request<v1::ListConsentsRequest>,
    ) -> Result<Response<v1::ListConsentsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = convert::page(message.page.as_ref()).map_err(refuse)?;
        let after = convert::optional(&token, |t| convert::consent_id("page.token", t)).map_err(refuse)?;
        let patient = convert::patient_id("patient_id", &message.patient_id).map_err(refuse)?;
        let found = self.0.consents(&actor, patient, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, |(id, _)| id.as_bytes().to_vec().into());
        let consents = found.iter().map(|(id, row)| convert::consent(*id, row, Vec::new())).collect();
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListConsentsResponse { as_of, consents, next_page_token }))
    }
}
