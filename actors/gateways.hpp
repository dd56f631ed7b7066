#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <caf/send.hpp>

#include "actors/handlers.hpp"
#include "actors/request_bound.hpp"
#include "messages/interfaces.hpp"

namespace weir {

/// Sends `envelope` to `to` as a request of the actor `self`, if `bound` has a place for it.
/// `on_answer(const Envelope<Reply<R>>&)` or `on_failure(const Error&)` follows on `self`, the latter at
/// once if there is no place. Errors: `limit_exceeded`; `timed_out`; `unavailable`, which names `whom`.
template <class R, class Self, class Handle, class M, class OnAnswer, class OnFailure>
void bounded_request(const RequestBound& bound, Self* self, const Handle& to,
                     const std::string& whom, std::chrono::milliseconds timeout,
                     Envelope<M> envelope, OnAnswer on_answer, OnFailure on_failure) {
  auto place = bound.admit();
  if (!place) {
    on_failure(place.error());
    return;
  }
  self->request(to, timeout, std::move(envelope))
      .then(
          [place = *place,
           on_answer = std::move(on_answer)](const Envelope<Reply<R>>& reply) mutable {
            place->leave();
            on_answer(reply);
          },
          [place = *place, on_failure = std::move(on_failure),
           whom](const caf::error& failed) mutable {
            place->leave();
            on_failure(transport_error(failed, whom));
          });
}

/// The way from a JobManager's process to one TaskManager: what would cross a process crosses here, in
/// one process too. Only gateways hold handles.
/// Threads: any.
class TaskManagerGateway {
 public:
  TaskManagerGateway(TaskManagerId id, TaskManagerInterface task_manager)
      : id_(id),
        task_manager_(std::move(task_manager)),
        requests_("the gateway to TaskManager " + std::to_string(id.value)) {}

  /// Sends a one-way message; nothing tells whether it arrives.
  template <class M>
  void send(Endpoint from, M message) const {
    caf::anon_send(task_manager_, Envelope<M>{from, endpoint_of(id_), std::move(message)});
  }
  /// Sends a request of the actor `self`; what follows is as in `bounded_request`.
  template <class R, class Self, class M, class OnAnswer, class OnFailure>
  void request(Self* self, std::chrono::milliseconds timeout, Endpoint from, M message,
               OnAnswer on_answer, OnFailure on_failure) const {
    bounded_request<R>(requests_, self, task_manager_, "the TaskManager", timeout,
                       Envelope<M>{from, endpoint_of(id_), std::move(message)},
                       std::move(on_answer), std::move(on_failure));
  }
  [[nodiscard]] TaskManagerId id() const { return id_; }

 private:
  TaskManagerId id_;
  TaskManagerInterface task_manager_;
  RequestBound requests_;
};

/// The way from a TaskManager's process to the JobManager.
/// Threads: any.
class JobManagerGateway {
 public:
  explicit JobManagerGateway(JobManagerInterface job_manager)
      : job_manager_(std::move(job_manager)) {}
  template <class M>
  void send(Endpoint from, M message) const {
    if (cut_.load(std::memory_order_relaxed)) return;
    caf::anon_send(job_manager_, Envelope<M>{from, job_manager_endpoint(), std::move(message)});
  }
  /// From here nothing leaves this process any more: it has crashed, whatever its actors may still do.
  void cut() { cut_.store(true, std::memory_order_relaxed); }
  /// Sends a request of the actor `self`; what follows is as in `bounded_request`.
  template <class R, class Self, class M, class OnAnswer, class OnFailure>
  void request(Self* self, std::chrono::milliseconds timeout, Endpoint from, M message,
               OnAnswer on_answer, OnFailure on_failure) const {
    if (cut_.load(std::memory_order_relaxed)) return;
    bounded_request<R>(requests_, self, job_manager_, "the JobManager", timeout,
                       Envelope<M>{from, job_manager_endpoint(), std::move(message)},
                       std::move(on_answer), std::move(on_failure));
  }

 private:
  JobManagerInterface job_manager_;
  RequestBound requests_{"the gateway to the JobManager"};
  std::atomic<bool> cut_ = false;
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
