#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>

#include "messages/envelope.hpp"
#include "state/clock.hpp"

namespace weir {

/// What is known of a control message at the moment it is handed to its receiver.
struct DeliveryRecord {
  Endpoint from;
  Endpoint to;
  std::string message;  ///< its name, as in `message_name`
  JobId job;
  CheckpointId checkpoint;         ///< 0 if the message concerns none
  std::optional<Fence> fence;      ///< if the message has one
  std::optional<TaskState> state;  ///< of a task, if the message tells one
  std::string reason;              ///< of a decline, and its sentence
  std::string detail;
};

/// The one point at which control messages are delivered in a process: every actor asks here before it
/// handles one. It writes the trace, and nothing else does; tests drop messages here.
/// Threads: any.
class Delivery {
 public:
  /// `trace` is called with one JSON line per message, without newline, in order of delivery; it may be
  /// empty. `clock` outlives the delivery.
  Delivery(const Clock& clock, std::function<void(const std::string& line)> trace);

  /// Records the delivery of `envelope`. False: the message is lost, and the receiver must not see it.
  template <class M>
  [[nodiscard]] bool admit(const Envelope<M>& envelope) {
    if (!active_) return true;
    return admit_record(record_of(envelope));
  }
  /// What is known of `envelope`.
  template <class M>
  [[nodiscard]] static DeliveryRecord record_of(const Envelope<M>& envelope) {
    DeliveryRecord record;
    record.from = envelope.from;
    record.to = envelope.to;
    record.message = message_name(envelope.message);
    describe(envelope.message, record);
    return record;
  }
  /// Lets `drop` decide which messages are lost, from now on; before any actor runs.
  void set_filter(std::function<bool(const DeliveryRecord&)> drop);

 private:
  template <class M>
  static void describe(const M& message, DeliveryRecord& record) {
    if constexpr (requires { record.job = message.job; }) record.job = message.job;
    if constexpr (requires { record.checkpoint = message.checkpoint; })
      record.checkpoint = message.checkpoint;
    if constexpr (requires { record.fence = message.fence; }) record.fence = message.fence;
    if constexpr (requires { requires std::is_same_v<decltype(message.state), TaskState>; })
      record.state = message.state;
    if constexpr (std::is_same_v<M, DeclineCheckpoint>) {
      record.reason = enumerator_name(message.reason);
      record.detail = message.detail;
    }
  }
  template <class T>
  static void describe(const Reply<T>& reply, DeliveryRecord& record) {
    if (reply.value) describe(*reply.value, record);
  }
  [[nodiscard]] bool admit_record(const DeliveryRecord& record);

  const Clock& clock_;
  bool active_;
  std::mutex mutex_;  // guards trace_, so that lines do not mix, and filter_
  std::function<void(const std::string&)> trace_;
  std::function<bool(const DeliveryRecord&)> filter_;
};

}  // namespace weir
