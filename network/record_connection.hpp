#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "network/incoming_channel.hpp"
#include "network/outgoing_channel.hpp"
#include "network/record_frame.hpp"
#include "network/remote_channel.hpp"
#include "state/clock.hpp"

namespace weir {

/// How a connection notices that nobody is at its other end.
struct RecordConnectionSettings {
  std::chrono::nanoseconds keep_alive_interval{0};  ///< something is sent at least so often
  std::chrono::nanoseconds timeout{0};              ///< it is lost when nothing came for so long
};

/// One end of the connection between two processes: the channels that share it, what they have to send, and what
/// comes for them. Bytes go in and out; sockets, threads and clocks are somebody else's.
///
/// A consumer opens its channel, with credit, once it is here; until then the producer sends nothing. So no
/// record comes before there is a place for it. A producer that is not here yet finds the opening when it comes.
///
/// Frames are numbered: what is lost, doubled or out of order on the way is an error of the connection and not of
/// one channel. A connection that has failed is over: nothing of it goes on in another one, so no record can
/// come twice. Frames for a channel that is not here (any more), such as those of an attempt that is over, are
/// dropped.
/// Threads: one.
class RecordConnection {
 public:
  /// Openings that may wait for their producers; a peer that sends more is cut off.
  static constexpr std::size_t max_waiting_openings = 1'000'000;
  /// `write` begins no further frame of records once it has written this much.
  static constexpr std::size_t write_target_bytes = std::size_t{256} * 1024;

  RecordConnection(const RecordConnectionSettings& settings, MonotonicTime now)
      : settings_(settings), last_sent_(now), last_heard_(now) {}

  /// Adds an end that is not here yet.
  void add(RemoteChannel channel);
  /// The task that has this end has ended. What it has still pushed goes out, if it is a producer.
  void release(const ChannelId& id, ChannelEnd end);
  /// The task at this end has pushed something, or made room. Of an end that is not here: no effect.
  void look_at(const ChannelId& id, ChannelEnd end);

  /// Takes what has come. Errors: `corruption`, `limit_exceeded`: the connection must be ended, and then `lose`.
  [[nodiscard]] Status receive(std::string_view bytes, MonotonicTime now);
  /// Appends what is to be sent now. Returns whether there is more.
  bool write(std::string& out, MonotonicTime now);
  /// Errors: `timed_out`: nothing has come for so long that the other end must be gone.
  [[nodiscard]] Status check(MonotonicTime now) const;
  /// When `write` or `check` is to be called at the latest.
  [[nodiscard]] MonotonicTime wake_time() const;

  /// The connection is over: tells every end.
  void lose(const Error& why);

  /// Whether no end is here.
  [[nodiscard]] bool is_unused() const { return incoming_.empty() && outgoing_.empty(); }
  /// Whether no end has anything to send or to hand on.
  [[nodiscard]] bool rests();

 private:
  struct Incoming {
    IncomingChannel channel;
    std::function<void(const Error&)> on_failure;
  };
  struct Outgoing {
    OutgoingChannel channel;
    std::function<void(const Error&)> on_failure;
    bool in_turn = false;   ///< its id is in `turns_`
    bool released = false;  ///< nothing more will be pushed
  };
  /// A frame of the consumer of a channel.
  struct Note {
    FrameKind kind;
    ChannelId channel;
    std::uint64_t limit_bytes = 0;
  };
  using Producers = std::map<ChannelId, Outgoing>;
  using Consumers = std::map<ChannelId, Incoming>;

  [[nodiscard]] Status take(const Frame& frame);
  [[nodiscard]] Status take_opening(const ChannelId& id, std::uint64_t limit_bytes);
  /// Openings of older attempts of the job are void.
  void forget_openings_before(const JobId& job, const Fence& fence);
  /// Lets `channel` send in its turn if it can; removes it if it will never send again.
  void consider(Producers::iterator channel);
  /// Hands on what waits for the queue of `channel`, and gives credit.
  void move_on(Consumers::iterator channel);
  void give_credit(Incoming& incoming, FrameKind kind);
  void write_note(const Note& note, std::string& out);
  void write_turn(std::string& out);

  const RecordConnectionSettings settings_;
  FrameReader reader_;
  std::uint64_t sent_frames_ = 0;
  std::uint64_t received_frames_ = 0;
  MonotonicTime last_sent_;
  MonotonicTime last_heard_;
  Consumers incoming_;
  Producers outgoing_;
  std::deque<ChannelId> turns_;  ///< of producers that can send
  std::deque<Note> notes_;       ///< that are to be sent
  std::map<ChannelId, std::uint64_t>
      openings_;  ///< that wait for their producer, with their credit
};

}  // namespace weir
