#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <caf/scoped_actor.hpp>
#include <caf/typed_actor.hpp>

#include "actors/delivery.hpp"
#include "messages/interfaces.hpp"

namespace weir {

/// The client's way to a JobManager, in this process or another; a request blocks until it is answered. How
/// many clients' requests may wait together is bounded where they arrive (`on_bounded_request`).
///
///   ClientGateway client(system, job_manager, delivery);
///   auto jobs = client.request<JobList>(ListJobs{}, 60s);
///
/// Threads: any but an actor's, concurrently.
class ClientGateway {
 public:
  /// `delivery` outlives the gateway.
  ClientGateway(caf::actor_system& system, JobManagerInterface job_manager, Delivery& delivery)
      : system_(system), job_manager_(std::move(job_manager)), delivery_(delivery) {}

  /// Sends `message` and waits for the answer. Errors: what the JobManager answers, `limit_exceeded` if
  /// as many requests wait there as it takes; `timed_out` if
  /// nothing came within `timeout`; `unavailable` if the JobManager is gone.
  template <class R, class M>
  [[nodiscard]] Result<R> request(M message, std::chrono::milliseconds timeout) {
    std::optional<Result<R>> result;
    caf::scoped_actor self(system_);
    self->request(job_manager_, timeout,
                  Envelope<M>{client_endpoint(), job_manager_endpoint(), std::move(message)})
        .receive(
            [&](Envelope<Reply<R>>& reply) {
              if (!delivery_.admit(reply))
                result = error(Errc::timed_out, "the answer was lost");
              else if (reply.message.value)
                result = std::move(*reply.message.value);
              else
                result = std::unexpected(std::move(reply.message.error));
            },
            [&](const caf::error& failed) { result = transport_error<R>(failed, timeout); });
    return std::move(*result);
  }

 private:
  template <class R>
  static Result<R> transport_error(const caf::error& failed, std::chrono::milliseconds timeout) {
    if (failed == caf::sec::request_timeout)
      return error(Errc::timed_out,
                   "the JobManager did not answer within " + std::to_string(timeout.count()) +
                       " ms; it may still carry the request out: look with `weir list`");
    return error(Errc::unavailable, "the JobManager's process is gone");
  }
  caf::actor_system& system_;
  JobManagerInterface job_manager_;
  Delivery& delivery_;
};

}  // namespace weir
