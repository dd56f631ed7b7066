#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <caf/send.hpp>

#include "messages/interfaces.hpp"

namespace weir {

/// The way from a JobManager's process to one TaskManager: what would cross a process crosses here, in
/// one process too. Only gateways hold handles.
/// Threads: any.
class TaskManagerGateway {
 public:
  TaskManagerGateway(TaskManagerId id, TaskManagerInterface task_manager)
      : id_(id), task_manager_(std::move(task_manager)) {}

  /// Sends a one-way message; nothing tells whether it arrives.
  template <class M>
  void send(Endpoint from, M message) const {
    caf::anon_send(task_manager_, Envelope<M>{from, endpoint_of(id_), std::move(message)});
  }
  /// Sends a request on behalf of the actor `self`; `.then` takes the answer.
  template <class Self>
  auto submit_task(Self* self, std::chrono::milliseconds timeout, Endpoint from,
                   SubmitTask message) const {
    return self->request(task_manager_, timeout,
                         Envelope<SubmitTask>{from, endpoint_of(id_), std::move(message)});
  }
  [[nodiscard]] TaskManagerId id() const { return id_; }

 private:
  TaskManagerId id_;
  TaskManagerInterface task_manager_;
};

/// The way from a TaskManager's process to the JobManager.
/// Threads: any.
class JobManagerGateway {
 public:
  explicit JobManagerGateway(JobManagerInterface job_manager)
      : job_manager_(std::move(job_manager)) {}
  template <class M>
  void send(Endpoint from, M message) const {
    caf::anon_send(job_manager_, Envelope<M>{from, job_manager_endpoint(), std::move(message)});
  }
  template <class Self, class M>
  auto request(Self* self, std::chrono::milliseconds timeout, Endpoint from, M message) const {
    return self->request(job_manager_, timeout,
                         Envelope<M>{from, job_manager_endpoint(), std::move(message)});
  }

 private:
  JobManagerInterface job_manager_;
};

/// The TaskManagers that this process can reach, by id: messages carry ids, the handle is found here.
/// Threads: any.
class GatewayRegistry {
 public:
  void add(std::shared_ptr<const TaskManagerGateway> gateway) {
    const std::scoped_lock lock(mutex_);
    const TaskManagerId id = gateway->id();
    gateways_[id] = std::move(gateway);
  }
  void remove(TaskManagerId id) {
    const std::scoped_lock lock(mutex_);
    gateways_.erase(id);
  }
  /// Null if there is no such TaskManager (any more).
  [[nodiscard]] std::shared_ptr<const TaskManagerGateway> find(TaskManagerId id) const {
    const std::scoped_lock lock(mutex_);
    const auto found = gateways_.find(id);
    return found == gateways_.end() ? nullptr : found->second;
  }
  void clear() {
    const std::scoped_lock lock(mutex_);
    gateways_.clear();
  }

 private:
  mutable std::mutex mutex_;  // guards gateways_
  std::map<TaskManagerId, std::shared_ptr<const TaskManagerGateway>> gateways_;
};

}  // namespace weir
