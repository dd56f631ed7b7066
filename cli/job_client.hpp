#pragma once

#include <chrono>

#include "messages/messages.hpp"

namespace weir {

/// What the command line asks of a JobManager, in this process or another. A request blocks until it is
/// answered. Errors: what the JobManager answers; `timed_out`; `unavailable` if it is gone.
/// Threads: any but an actor's, concurrently.
class JobClient {
 public:
  using Timeout = std::chrono::milliseconds;
  virtual ~JobClient() = default;
  [[nodiscard]] virtual Result<SubmitJobSuccess> ask(SubmitJob message, Timeout timeout) = 0;
  [[nodiscard]] virtual Result<JobList> ask(ListJobs message, Timeout timeout) = 0;
  [[nodiscard]] virtual Result<JobDetails> ask(RequestJobDetails message, Timeout timeout) = 0;
  [[nodiscard]] virtual Result<CancellationSuccess> ask(CancelJob message, Timeout timeout) = 0;
  [[nodiscard]] virtual Result<CancellationSuccess> ask(CancelJobWithSavepoint message,
                                                        Timeout timeout) = 0;
  [[nodiscard]] virtual Result<StoppingSuccess> ask(StopJobWithSavepoint message,
                                                    Timeout timeout) = 0;
  [[nodiscard]] virtual Result<TriggerSavepointSuccess> ask(TriggerSavepoint message,
                                                            Timeout timeout) = 0;
  [[nodiscard]] virtual Result<CheckpointCompleted> ask(RequestCheckpoint message,
                                                        Timeout timeout) = 0;
  [[nodiscard]] virtual Result<DisposeSavepointSuccess> ask(DisposeSavepoint message,
                                                            Timeout timeout) = 0;
  /// Whether the process at the other end has gone. A request that it had taken waits in vain then.
  [[nodiscard]] virtual bool is_gone() const = 0;
};

}  // namespace weir
