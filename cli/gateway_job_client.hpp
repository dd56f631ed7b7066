#pragma once

#include <memory>
#include <utility>

#include "actors/client_gateway.hpp"
#include "cli/job_client.hpp"
#include "network/socket.hpp"

namespace weir {

/// A `JobClient` over CAF.
class GatewayJobClient final : public JobClient {
 public:
  /// `watched` is a second descriptor of the connection to another process; not open in one process.
  GatewayJobClient(caf::actor_system& system, JobManagerInterface job_manager, Delivery& delivery,
                   Socket watched)
      : gateway_(system, std::move(job_manager), delivery), watched_(std::move(watched)) {}

  Result<SubmitJobSuccess> ask(SubmitJob message, Timeout timeout) override {
    return gateway_.request<SubmitJobSuccess>(std::move(message), timeout);
  }
  Result<JobList> ask(ListJobs message, Timeout timeout) override {
    return gateway_.request<JobList>(message, timeout);
  }
  Result<JobDetails> ask(RequestJobDetails message, Timeout timeout) override {
    return gateway_.request<JobDetails>(message, timeout);
  }
  Result<CancellationSuccess> ask(CancelJob message, Timeout timeout) override {
    return gateway_.request<CancellationSuccess>(message, timeout);
  }
  Result<CancellationSuccess> ask(CancelJobWithSavepoint message, Timeout timeout) override {
    return gateway_.request<CancellationSuccess>(std::move(message), timeout);
  }
  Result<StoppingSuccess> ask(StopJobWithSavepoint message, Timeout timeout) override {
    return gateway_.request<StoppingSuccess>(std::move(message), timeout);
  }
  Result<TriggerSavepointSuccess> ask(TriggerSavepoint message, Timeout timeout) override {
    return gateway_.request<TriggerSavepointSuccess>(std::move(message), timeout);
  }
  Result<CheckpointCompleted> ask(RequestCheckpoint message, Timeout timeout) override {
    return gateway_.request<CheckpointCompleted>(message, timeout);
  }
  Result<DisposeSavepointSuccess> ask(DisposeSavepoint message, Timeout timeout) override {
    return gateway_.request<DisposeSavepointSuccess>(std::move(message), timeout);
  }
  bool is_gone() const override { return watched_.is_open() && is_hung_up(watched_); }

 private:
  ClientGateway gateway_;
  Socket watched_;
};

}  // namespace weir
