#include "network/record_connection.hpp"

#include <algorithm>
#include <utility>

namespace weir {

void RecordConnection::add(RemoteChannel channel) {
  if (channel.end == ChannelEnd::consumer) {
    const auto [place, is_new] = incoming_.try_emplace(
        channel.id, Incoming{IncomingChannel(channel.id, std::move(channel.queue),
                                             std::move(channel.make_batch), channel.window_bytes),
                             std::move(channel.on_failure)});
    WEIR_ASSERT(is_new);
    give_credit(place->second, FrameKind::open);
    return;
  }
  forget_openings_before(channel.id.job, channel.id.fence);
  const auto [place, is_new] = outgoing_.try_emplace(
      channel.id, Outgoing{OutgoingChannel(channel.id, std::move(channel.queue)),
                           std::move(channel.on_failure)});
  WEIR_ASSERT(is_new);
  if (const auto opening = openings_.extract(channel.id)) {
    place->second.channel.grant(opening.mapped());
    consider(place);
  }
}

void RecordConnection::release(const ChannelId& id, ChannelEnd end) {
  if (end == ChannelEnd::consumer) {
    const auto found = incoming_.find(id);
    if (found == incoming_.end()) return;
    notes_.push_back({FrameKind::close, id});
    incoming_.erase(found);
    return;
  }
  const auto found = outgoing_.find(id);
  if (found == outgoing_.end()) return;
  found->second.released = true;
  consider(found);
}

void RecordConnection::look_at(const ChannelId& id, ChannelEnd end) {
  if (end == ChannelEnd::consumer) {
    if (const auto found = incoming_.find(id); found != incoming_.end()) move_on(found);
  } else {
    if (const auto found = outgoing_.find(id); found != outgoing_.end()) consider(found);
  }
}

void RecordConnection::forget_openings_before(const JobId& job, const Fence& fence) {
  const auto begin = openings_.lower_bound({job, {}, 0, 0, 0});
  openings_.erase(begin, openings_.lower_bound({job, fence, 0, 0, 0}));
}

// ---- what comes ---------------------------------------------------------------------------------

Status RecordConnection::receive(std::string_view bytes, MonotonicTime now) {
  last_heard_ = now;
  reader_.feed(bytes);
  for (;;) {
    WEIR_TRY_ASSIGN(frame, reader_.next());
    if (!frame) return {};
    if (frame->header.number != received_frames_)
      return error(Errc::corruption, "frame " + std::to_string(frame->header.number) +
                                         " came, and " + std::to_string(received_frames_) +
                                         " was to be next");
    ++received_frames_;
    WEIR_TRY(take(*frame));
  }
}

Status RecordConnection::take(const Frame& frame) {
  const FrameKind kind = frame.header.kind;
  const ChannelId& id = frame.header.channel;
  if (is_element(kind)) {
    const auto found = incoming_.find(id);
    if (found == incoming_.end()) return {};  // its task has ended
    WEIR_TRY(found->second.channel.receive(kind, frame.payload));
    move_on(found);
    return {};
  }
  ByteReader reader(frame.payload);
  const bool limits = kind == FrameKind::open || kind == FrameKind::credit;
  const auto limit_bytes = limits ? reader.number<std::uint64_t>() : 0;
  if (!reader.complete())
    return error(Errc::corruption, to_string(id) + ": a frame of the consumer does not decode");
  if (kind == FrameKind::open) return take_opening(id, limit_bytes);
  const auto found = outgoing_.find(id);
  if (kind == FrameKind::close) {
    openings_.erase(id);
    // The task goes on without: what it pushes stays in the queue, as if its consumer had stopped here.
    if (found != outgoing_.end()) outgoing_.erase(found);
  } else if (kind == FrameKind::credit && found != outgoing_.end()) {
    found->second.channel.grant(limit_bytes);
    consider(found);
  }
  return {};
}

Status RecordConnection::take_opening(const ChannelId& id, std::uint64_t limit_bytes) {
  if (const auto found = outgoing_.find(id); found != outgoing_.end()) {
    found->second.channel.grant(limit_bytes);
    consider(found);
    return {};
  }
  forget_openings_before(id.job, id.fence);
  openings_[id] = limit_bytes;
  if (openings_.size() > max_waiting_openings)
    return error(Errc::limit_exceeded, "more than " + std::to_string(max_waiting_openings) +
                                           " channels were opened that have no producer here");
  return {};
}

void RecordConnection::move_on(Consumers::iterator channel) {
  Incoming& incoming = channel->second;
  if (const auto moved = incoming.channel.move_on(); !moved) {
    incoming.on_failure(moved.error());
    release(channel->first, ChannelEnd::consumer);
    return;
  }
  if (incoming.channel.has_ended())
    incoming_.erase(channel);  // the producer has forgotten it too
  else
    give_credit(incoming, FrameKind::credit);
}

void RecordConnection::give_credit(Incoming& incoming, FrameKind kind) {
  if (const auto limit = incoming.channel.take_credit())
    notes_.push_back({kind, incoming.channel.id(), *limit});
}

// ---- what goes ----------------------------------------------------------------------------------

void RecordConnection::consider(Producers::iterator channel) {
  Outgoing& outgoing = channel->second;
  // A consumer that has never opened the channel will not say that it has ended either.
  const bool is_over =
      outgoing.released && (outgoing.channel.is_drained() || !outgoing.channel.is_open());
  if (outgoing.channel.has_ended() || is_over) {
    outgoing_.erase(channel);
  } else if (!outgoing.in_turn && outgoing.channel.can_send()) {
    outgoing.in_turn = true;
    turns_.push_back(channel->first);
  }
}

bool RecordConnection::write(std::string& out, MonotonicTime now) {
  const std::size_t begin = out.size();
  for (; !notes_.empty(); notes_.pop_front()) write_note(notes_.front(), out);
  while (!turns_.empty() && out.size() - begin < write_target_bytes) write_turn(out);
  if (out.size() == begin && now - last_sent_ >= settings_.keep_alive_interval)
    FrameWriter(out).finish({FrameKind::keep_alive, {}, sent_frames_++});
  if (out.size() > begin) last_sent_ = now;
  return !turns_.empty();
}

void RecordConnection::write_note(const Note& note, std::string& out) {
  FrameWriter frame(out);
  if (note.kind != FrameKind::close) ByteWriter(out).number(note.limit_bytes);
  frame.finish({note.kind, note.channel, sent_frames_++});
}

void RecordConnection::write_turn(std::string& out) {
  const ChannelId id = turns_.front();
  turns_.pop_front();
  const auto found = outgoing_.find(id);
  if (found == outgoing_.end()) return;
  Outgoing& outgoing = found->second;
  outgoing.in_turn = false;
  if (!outgoing.channel.can_send()) return;
  if (const Status written = outgoing.channel.write_next(sent_frames_, out); !written) {
    outgoing.on_failure({written.error().code, to_string(id) + ": " + written.error().what});
    outgoing_.erase(found);
    return;
  }
  ++sent_frames_;
  consider(found);
}

Status RecordConnection::check(MonotonicTime now) const {
  if (now - last_heard_ < settings_.timeout) return {};
  const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_heard_);
  return error(Errc::timed_out,
               "nothing has come from it for " + std::to_string(silent.count()) + " ms");
}

MonotonicTime RecordConnection::wake_time() const {
  return std::min(last_sent_ + settings_.keep_alive_interval, last_heard_ + settings_.timeout);
}

void RecordConnection::lose(const Error& why) {
  for (auto& [id, incoming] : std::exchange(incoming_, {})) incoming.on_failure(why);
  for (auto& [id, outgoing] : std::exchange(outgoing_, {})) outgoing.on_failure(why);
  turns_.clear();
  notes_.clear();
  openings_.clear();
}

bool RecordConnection::rests() {
  return turns_.empty() && notes_.empty() &&
         std::ranges::all_of(
             incoming_, [](const auto& one) { return one.second.channel.waiting_bytes() == 0; }) &&
         std::ranges::all_of(outgoing_, [](auto& one) { return one.second.channel.is_drained(); });
}

}  // namespace weir
