#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "runtime/batch.hpp"
#include "runtime/channel.hpp"
#include "runtime/channel_id.hpp"

namespace weir {

/// Which end of a channel lies in this process; the other one lies in another.
enum class ChannelEnd : std::uint8_t { producer, consumer };

/// One end of a channel between two processes, as the task has it that lies here. Between the task and the
/// network is a queue as between two tasks of one process, so the task sees no difference.
struct RemoteChannel {
  ChannelId id;
  ChannelEnd end = ChannelEnd::producer;
  std::shared_ptr<Channel> queue;
  /// Makes an empty batch to decode into. For a consumer's end.
  std::function<std::unique_ptr<AnyBatch>()> make_batch;
  /// How many bytes of frames may be on their way or wait here; at least 1. For a consumer's end.
  std::size_t window_bytes = 0;
  /// The channel is broken for good. Called at most once; must not block, nor call the exchange.
  std::function<void(const Error&)> on_failure;
};

}  // namespace weir
