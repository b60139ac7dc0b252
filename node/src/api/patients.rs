//! Patients and how they are found.

use super::convert::Search;
use super::{convert, refuse, writes};
use crate::crypto::SearchTerm;
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

writes! {
    v1::patient_service_server::PatientService;
    register_patient: RegisterPatientRequest -> RegisterPatientResponse, "RegisterPatient", convert::patient_draft;
    amend_patient: AmendPatientRequest -> AmendPatientResponse, "AmendPatient", convert::amend_patient_draft;
    ;
    async fn get_patient(
        &self,
        request: Request<v1::GetPatientRequest>,
    ) -> Result<Response<v1::GetPatientResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::patient_id("patient_id", &request.get_ref().patient_id).map_err(refuse)?;
        let open = self.0.patient(&actor, id, request.get_ref().version).await.map_err(refuse)?;
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::GetPatientResponse { as_of, patient: Some(convert::patient(open)) }))
    }

    async fn find_patients(
        &self,
        request: Request<v1::FindPatientsRequest>,
    ) -> Result<Response<v1::FindPatientsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let (found, more) = match convert::search(request.get_ref().by.as_ref()).map_err(refuse)? {
            Search::Cpf(digits) => self.0.find_by_token(&actor, SearchTerm::Cpf, &digits).await,
            Search::Phone(digits) => self.0.find_by_token(&actor, SearchTerm::Phone, &digits).await,
            Search::Name(part) => self.0.find_by_name(&actor, &part).await,
        }
        .map_err(refuse)?;
        let patients = found.into_iter().map(convert::patient).collect();
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::FindPatientsResponse { as_of, patients, more }))
    }

    async fn list_patients(
        &self,
        request: Request<v1::ListPatientsRequest>,
    ) -> Result<Response<v1::ListPatientsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let (size, token) = convert::page(request.get_ref().page.as_ref()).map_err(refuse)?;
        let after = convert::optional(&token, |t| convert::patient_id("page.token", t)).map_err(refuse)?;
        let found = self.0.list_patients(&actor, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, |(id, _)| id.as_bytes().to_vec().into());
        let patients = found.iter().map(|(id, row)| convert::patient_summary(*id, row)).collect();
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListPatientsResponse { as_of, patients, next_page_token }))
    }
}
