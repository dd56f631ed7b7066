#pragma once

#include <caf/actor_system_config.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/typed_actor.hpp>

#include "messages/message_list.hpp"

namespace weir {

/// Goes up whenever a message changes; a peer of another version is refused.
inline constexpr std::uint16_t message_version = 5;

/// Gives CAF a message as one blob: version and Weir's own encoding. A local send never comes here.
template <class Inspector, class M>
typename Inspector::result_type inspect(Inspector& inspector, Envelope<M>& envelope) {
  std::string blob;
  if constexpr (Inspector::reads_state) {
    ByteWriter writer(blob);
    writer.number(message_version);
    encode(envelope, writer);
    return inspector(caf::meta::type_name("Envelope"), blob);
  } else {
    const auto decode_blob = [&]() -> caf::error {
      ByteReader reader(blob);
      if (reader.number<std::uint16_t>() != message_version) return caf::sec::incompatible_versions;
      decode(reader, envelope);
      return reader.complete() ? caf::error{} : caf::error{caf::sec::invalid_argument};
    };
    return inspector(caf::meta::type_name("Envelope"), blob, caf::meta::load_callback(decode_blob));
  }
}

template <class M>
using OneWay = caf::reacts_to<Envelope<M>>;
template <class M, class R>
using Request = typename caf::replies_to<Envelope<M>>::template with<Envelope<Reply<R>>>;

/// What a client and the TaskManagers may say to a JobManager.
using JobManagerInterface =
    caf::typed_actor<Request<SubmitJob, SubmitJobSuccess>, Request<ListJobs, JobList>,
                     Request<RequestJobDetails, JobDetails>,
                     Request<CancelJob, CancellationSuccess>,
                     Request<CancelJobWithSavepoint, CancellationSuccess>,
                     Request<StopJobWithSavepoint, StoppingSuccess>,
                     Request<TriggerSavepoint, TriggerSavepointSuccess>,
                     Request<RequestCheckpoint, CheckpointCompleted>,
                     Request<DisposeSavepoint, DisposeSavepointSuccess>,
                     Request<RegisterTaskManager, RegistrationSuccess>, Request<Heartbeat, Done>,
                     Request<UpdateTaskState, Done>, Request<AcknowledgeCheckpoint, Done>,
                     Request<DeclineCheckpoint, Done>>;

/// What a JobManager says to a TaskManager.
using TaskManagerInterface =
    caf::typed_actor<Request<SubmitTask, Done>, OneWay<StartTask>, OneWay<CancelTask>,
                     OneWay<DrainTask>, OneWay<TriggerCheckpoint>, OneWay<NotifyCheckpointComplete>,
                     OneWay<NotifyCheckpointAborted>>;

/// Registers every message of `WEIR_MESSAGE_LIST` and chooses the scheduler: two threads that share one
/// queue and sleep when there is nothing to do, so that they take nothing from the data plane.
void configure_actor_system(caf::actor_system_config& config);

}  // namespace weir
