#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "network/record_frame.hpp"
#include "runtime/channel.hpp"

namespace weir {

/// The producer's end of a channel between two processes: takes what the task has pushed, from the queue
/// that the task takes for the channel, and makes frames of it as long as the consumer has given credit.
/// A frame goes out while credit is left, and may overdraw it once, as a task may the room of a channel; so
/// there is no record that never fits. A large batch becomes several frames.
/// Threads: one, the consumer's of the queue.
class OutgoingChannel {
 public:
  /// Frames end with the record that reaches this many bytes.
  static constexpr std::size_t frame_target_bytes = std::size_t{64} * 1024;

  OutgoingChannel(ChannelId id, std::shared_ptr<Channel> queue)
      : id_(id), queue_(std::move(queue)) {}

  /// The consumer takes `limit_bytes` of frames, counted from the beginning of the channel. An older, lower
  /// limit changes nothing.
  void grant(std::uint64_t limit_bytes);
  /// Whether the consumer has ever given credit.
  [[nodiscard]] bool is_open() const { return limit_bytes_ > 0; }
  /// Whether there is something to send, and credit for it.
  [[nodiscard]] bool can_send();
  /// Appends the next frame, as the `number`-th of its connection. Requires `can_send()`. Errors, with nothing
  /// appended: `limit_exceeded` (a record that no frame holds), `user_function_failed` (a codec of the job threw).
  [[nodiscard]] Status write_next(std::uint64_t number, std::string& out);
  /// Whether the end of the partition is written: nothing follows.
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// Whether the producer has left nothing to send.
  [[nodiscard]] bool is_drained() { return batch_ == nullptr && queue_->peek() == nullptr; }
  [[nodiscard]] const ChannelId& id() const { return id_; }

 private:
  /// Appends the payload of what comes next and says what it is.
  [[nodiscard]] Result<FrameKind> write_payload(FrameWriter& frame, std::string& out);

  const ChannelId id_;
  const std::shared_ptr<Channel> queue_;
  std::unique_ptr<AnyBatch> batch_;  ///< of which some records are written; null: none
  std::size_t next_record_ = 0;      ///< of `batch_`
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t limit_bytes_ = 0;
  bool ended_ = false;
};

}  // namespace weir
