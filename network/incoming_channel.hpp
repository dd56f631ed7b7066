#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "network/record_frame.hpp"
#include "runtime/channel.hpp"

namespace weir {

/// The consumer's end of a channel between two processes: puts what comes in frames into the queue that the
/// task takes for the channel. What the queue has no room for waits undecoded; credit is given anew for what
/// has gone into the queue. So the memory of a channel here is bounded by its credit, in bytes of frames, and
/// by the room of the queue, and one frame beyond each.
/// Threads: one, the producer's of the queue.
class IncomingChannel {
 public:
  /// `make_batch` makes an empty batch to decode into; `window_bytes`, at least 1, is how much may be on its way
  /// or wait here.
  IncomingChannel(ChannelId id, std::shared_ptr<Channel> queue,
                  std::function<std::unique_ptr<AnyBatch>()> make_batch, std::size_t window_bytes);

  /// Takes a frame that is of this channel and holds an element. Errors: `corruption`: it was sent without
  /// credit, or behind the end.
  [[nodiscard]] Status receive(FrameKind kind, std::string_view payload);
  /// Puts what waits into the queue, as far as there is room; when there is some again, the producer of the queue
  /// is woken. Returns whether something went in. Errors: `corruption` (a payload that does not decode),
  /// `user_function_failed` (a codec of the job threw).
  [[nodiscard]] Result<bool> move_on();
  /// How many bytes the producer may send in all, if it is time to tell it.
  [[nodiscard]] std::optional<std::uint64_t> take_credit();
  /// Whether the end of the partition has gone into the queue.
  [[nodiscard]] bool has_ended() const { return ended_; }
  [[nodiscard]] const ChannelId& id() const { return id_; }
  /// Bytes of the frames that wait for room.
  [[nodiscard]] std::size_t waiting_bytes() const { return received_bytes_ - consumed_bytes_; }

 private:
  struct Waiting {
    FrameKind kind;
    std::string payload;
  };
  [[nodiscard]] Status put(const Waiting& frame);
  [[nodiscard]] Result<StreamElement> decode(const Waiting& frame);

  const ChannelId id_;
  const std::shared_ptr<Channel> queue_;
  const std::function<std::unique_ptr<AnyBatch>()> make_batch_;
  const std::size_t window_bytes_;
  std::deque<Waiting> waiting_;
  std::uint64_t received_bytes_ = 0;
  std::uint64_t consumed_bytes_ = 0;
  std::uint64_t limit_bytes_ = 0;  ///< that the producer has been told
  bool end_received_ = false;
  bool ended_ = false;
};

}  // namespace weir
