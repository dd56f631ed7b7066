#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/result.hpp>
#include <caf/send.hpp>
#include <caf/typed_response_promise.hpp>

#include "actors/delivery.hpp"
#include "actors/process.hpp"
#include "actors/request_bound.hpp"
#include "messages/internal.hpp"
#include "state/executor.hpp"
#include "state/thrown.hpp"

namespace weir {

/// A request that waits for its answer. Copies answer the same request; the first answer counts.
template <class R>
class PendingAnswer {
 public:
  PendingAnswer() = default;
  /// `leaving`: where an answer to another process is handed over; null if it stays in this one, where
  /// its receiver asks the delivery point.
  PendingAnswer(caf::typed_response_promise<Envelope<Reply<R>>> promise, Endpoint from, Endpoint to,
                Delivery* leaving)
      : promise_(std::move(promise)), from_(from), to_(to), leaving_(leaving) {}
  /// The request has this place among those in flight until it is answered or forgotten.
  void hold(std::shared_ptr<RequestBound::Place> place) { place_ = std::move(place); }
  void operator()(Reply<R> reply) {
    if (place_) place_->leave();
    Envelope<Reply<R>> envelope{from_, to_, std::move(reply)};
    if (leaving_ != nullptr && promise_.pending() && !leaving_->admit(envelope)) return;
    promise_.deliver(std::move(envelope));
  }

 private:
  caf::typed_response_promise<Envelope<Reply<R>>> promise_;
  Endpoint from_;
  Endpoint to_;
  Delivery* leaving_ = nullptr;
  std::shared_ptr<RequestBound::Place> place_;  ///< null: the request is not counted
};

/// The handler of a one-way message: `f(const M&)`, once the delivery point has let it through.
template <class M, class F>
auto on_message(Delivery& delivery, F f) {
  return [&delivery, f = std::move(f)](const Envelope<M>& envelope) mutable {
    if (delivery.admit(envelope)) f(envelope.message);
  };
}

/// The handler of a request: `f(const M&, PendingAnswer<R>)`. A request that is lost on delivery is
/// never answered: its sender's timeout finds out.
template <class M, class R, class Self, class F>
auto on_request(Self* self, Delivery& delivery, F f) {
  return [self, &delivery, f = std::move(f)](
             const Envelope<M>& envelope) mutable -> caf::result<Envelope<Reply<R>>> {
    const auto& sender = self->current_sender();
    Delivery* const leaving =
        sender != nullptr && sender->node() != self->node() ? &delivery : nullptr;
    auto promise = self->template make_response_promise<Envelope<Reply<R>>>();
    if (delivery.admit(envelope))
      f(envelope.message, PendingAnswer<R>(promise, envelope.to, envelope.from, leaving));
    return promise;
  };
}

/// The same for requests that any number of clients may send and that may wait for long: while as many
/// as `bound` admits wait for their answers, more are refused with that reason. `bound` lives as long
/// as `self`.
template <class M, class R, class Self, class F>
auto on_bounded_request(Self* self, Delivery& delivery, const RequestBound& bound, F f) {
  return on_request<M, R>(
      self, delivery,
      [&bound, f = std::move(f)](const M& message, PendingAnswer<R> answer) mutable {
        auto place = bound.admit();
        if (!place) {
          answer(place.error());
          return;
        }
        answer.hold(std::move(*place));
        f(message, std::move(answer));
      });
}

/// Runs `work` on the I/O pool and then `done(result)` on the actor `self`, if it still lives.
template <class Self, class Work, class Done>
void run_io(Self* self, IoExecutor& io, Work work, Done done) {
  using R = std::invoke_result_t<Work&>;
  const caf::strong_actor_ptr actor{self->ctrl()};
  io.submit([actor, work = std::move(work), done = std::move(done)]() mutable {
    auto result = std::make_shared<R>(work());
    auto mail = std::make_shared<std::function<void()>>(
        [done = std::move(done), result]() mutable { done(std::move(*result)); });
    caf::anon_send(caf::actor_cast<caf::actor>(actor), ActorMail{std::move(mail)});
  });
}

/// Runs `work` on the actor `self` once `delay` is over, if it still lives.
template <class Self, class Work>
void run_delayed(Self* self, std::chrono::nanoseconds delay, Work work) {
  auto mail = std::make_shared<std::function<void()>>(std::move(work));
  caf::delayed_anon_send(caf::actor_cast<caf::actor>(caf::strong_actor_ptr{self->ctrl()}), delay,
                         ActorMail{std::move(mail)});
}

/// The handler of `ActorMail`, which every actor that calls the two above has.
inline auto run_mail() {
  return [](const ActorMail& mail) { (*mail.run)(); };
}

/// An exception that leaves a handler of `self`, such as for want of memory, ends the process: what the handler was
/// about is half done, and whoever waits for the actor would wait in vain. `who` is the actor in the sentence.
template <class Self>
void end_process_on_exception(Self* self, std::shared_ptr<const ProcessSeams> seams,
                              const Endpoint& who) {
  // Put together now: there may be no memory for it then.
  auto without_memory = to_string(who) +
                        " has no memory left, and the process ends: lower the parallelism, or "
                        "raise the limit of memory (ulimit -v, or that of the control group)";
  self->set_exception_handler(
      [seams = std::move(seams), who = to_string(who),
       without_memory = std::move(without_memory)](std::exception_ptr& thrown) {
        try {
          std::rethrow_exception(thrown);
        } catch (const std::bad_alloc&) {
          seams->fatal(without_memory);
        } catch (...) {
          seams->fatal(who + " threw" + thrown_text() + "; the process ends");
        }
        return caf::error(caf::sec::runtime_error);
      });
}

/// The actors that one actor has spawned and that end with it, however it ends: a process that is dropped
/// takes all of them along.
class Children {
 public:
  /// `parent` is an actor that is being made.
  template <class Self>
  explicit Children(Self* parent) : handles_(std::make_shared<std::vector<caf::weak_actor_ptr>>()) {
    parent->attach_functor([handles = handles_] {
      for (const caf::weak_actor_ptr& one : *handles)
        if (auto child = one.lock())
          caf::anon_send_exit(caf::actor_cast<caf::actor>(child), caf::exit_reason::kill);
    });
  }
  template <class Handle>
  void add(const Handle& child) {
    std::erase_if(*handles_, [](const caf::weak_actor_ptr& one) { return !one.lock(); });
    handles_->push_back(caf::actor_cast<caf::weak_actor_ptr>(child));
  }

 private:
  std::shared_ptr<std::vector<caf::weak_actor_ptr>> handles_;
};

/// Turns the transport's failure of a request into an `Error`.
[[nodiscard]] inline Error transport_error(const caf::error& failed, const std::string& who) {
  if (failed == caf::sec::request_timeout)
    return {Errc::timed_out, who + " did not answer in time"};
  return {Errc::unavailable, who + " is gone"};
}

}  // namespace weir
