#pragma once

#include <memory>
#include <utility>

#include "actors/gateways.hpp"

namespace weir {

/// One attempt of one subtask, and the slot it runs in: where messages to a task set out.
/// Without a gateway (its TaskManager is gone) they go nowhere: the loss of the TaskManager is found by
/// other means.
class Execution {
 public:
  Execution(ExecutionId id, TaskManagerId slot, std::shared_ptr<const TaskManagerGateway> gateway)
      : id_(id), slot_(slot), gateway_(std::move(gateway)) {}

  void trigger_checkpoint(const TriggerCheckpoint& trigger) const {
    send(coordinator_endpoint(), trigger);
  }
  void notify_checkpoint_complete(const NotifyCheckpointComplete& notice) const {
    send(coordinator_endpoint(), notice);
  }
  void notify_checkpoint_aborted(const NotifyCheckpointAborted& notice) const {
    send(coordinator_endpoint(), notice);
  }
  void drain(const DrainTask& drain) const { send(coordinator_endpoint(), drain); }
  void start(const StartTask& start) const { send(job_manager_endpoint(), start); }
  void cancel(const CancelTask& cancel) const { send(job_manager_endpoint(), cancel); }

  /// Whether a deployment is on its way and may still be answered.
  void is_submitted(bool waits) { submitting_ = waits; }
  [[nodiscard]] bool is_submitting() const { return submitting_; }
  /// The TaskManager is known to have had the task.
  void has_arrived() { arrived_ = true; }
  [[nodiscard]] bool arrived() const { return arrived_; }

  [[nodiscard]] const ExecutionId& id() const { return id_; }
  [[nodiscard]] TaskManagerId slot() const { return slot_; }

 private:
  template <class M>
  void send(Endpoint from, const M& message) const {
    if (gateway_) gateway_->send(from, message);
  }
  ExecutionId id_;
  TaskManagerId slot_;
  std::shared_ptr<const TaskManagerGateway> gateway_;
  bool submitting_ = false;
  bool arrived_ = false;
};

}  // namespace weir
