#include "runtime/operator_chain.hpp"

#include <algorithm>
#include <utility>

namespace weir {

std::size_t OperatorChain::add_operator(std::string uid, std::string name,
                                        std::unique_ptr<Operator> op, std::uint32_t input_count,
                                        bool is_source) {
  auto node = std::make_unique<Node>(is_source ? 1 : input_count);
  node->op = std::move(op);
  node->makes_watermarks = node->op->makes_watermarks();
  node->source = is_source ? static_cast<SourceOperator*>(node->op.get()) : nullptr;
  for (TaggedOutput& output : node->op->outputs())
    node->ports.push_back({std::move(output.tag), output.port, {}, {}, {}});
  node->metrics.uid = std::move(uid);
  node->metrics.name = std::move(name);
  nodes_.push_back(std::move(node));
  return nodes_.size() - 1;
}

Result<OperatorChain::Port*> OperatorChain::port(std::size_t producer, const std::string& tag) {
  for (Port& port : nodes_[producer]->ports)
    if (port.tag == tag) return &port;
  return error(Errc::invalid_argument,
               "there is no output '" + tag + "' to connect an operator to");
}

Status OperatorChain::connect(std::size_t producer, const std::string& tag, std::size_t consumer) {
  WEIR_TRY_ASSIGN(from, port(producer, tag));
  from->children.push_back(consumer);
  return {};
}

Status OperatorChain::connect(std::size_t producer, const std::string& tag,
                              std::unique_ptr<ExchangeWriter> writer) {
  WEIR_TRY_ASSIGN(from, port(producer, tag));
  writers_.push_back(writer.get());
  from->writers.push_back(std::move(writer));
  return {};
}

void OperatorChain::push_batch(std::uint32_t input, std::unique_ptr<AnyBatch> batch,
                               Channel* origin) {
  Frame& frame = frames_.emplace_back();
  frame.input = input;
  frame.batch = std::move(batch);
  frame.origin_channel = origin;
}

void OperatorChain::push_watermark(std::uint32_t input, Watermark watermark) {
  frames_.push_back({.kind = FrameKind::watermark, .input = input, .watermark = watermark});
}

void OperatorChain::push_end(std::uint32_t input) {
  frames_.push_back({.kind = FrameKind::end, .input = input});
}

void OperatorChain::push_source_end() {
  // The stack is last in, first out: what is at its bottom comes last.
  frames_.insert(frames_.begin(),
                 Frame{.kind = FrameKind::watermark, .watermark = {Watermark::max_time}});
  frames_.insert(frames_.begin(), Frame{.kind = FrameKind::end});
}

void OperatorChain::push_before_barrier(const CheckpointBarrier& barrier) {
  frames_.push_back({.kind = FrameKind::before_barrier, .barrier = barrier});
}

PollResult OperatorChain::poll_source() {
  WEIR_ASSERT(idle());
  Node& head = *nodes_.front();
  set_current(0);
  const PollResult result = head.source->poll();
  emit(head, true, nullptr);
  return result;
}

bool OperatorChain::push_due_timers(MonotonicTime now) {
  bool source_due = false;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = *nodes_[i];
    if (node.timers.empty() || node.timers.top() > now) continue;
    // Several timers that are due are one call: the operator asked to be woken, not to be counted.
    while (!node.timers.empty() && node.timers.top() <= now) node.timers.pop();
    if (node.source != nullptr)
      source_due = true;
    else if (!node.finished)
      frames_.push_back({.kind = FrameKind::timer, .node = i, .time = now});
  }
  return source_due;
}

std::optional<MonotonicTime> OperatorChain::next_timer() const {
  std::optional<MonotonicTime> next;
  for (const auto& node : nodes_)
    if (!node->timers.empty() && (!next || node->timers.top() < *next)) next = node->timers.top();
  return next;
}

bool OperatorChain::ended() const {
  return std::ranges::all_of(nodes_, [](const auto& node) { return node->open_inputs == 0; });
}

void OperatorChain::run_slice(const Clock& clock) {
  Frame& frame = frames_.back();
  const std::size_t node_index = frame.node;
  Node& node = *nodes_[node_index];
  set_current(node_index);

  const std::size_t records_before = frame.cursor.next;
  const MonotonicTime begin = clock.now();
  const bool complete = work_on(frame, node);
  const auto elapsed = clock.now() - begin;
  const std::size_t records = frame.cursor.next - records_before;
  if (elapsed > slice_time && records > 0)
    node.slice = std::max<std::size_t>(1, records * static_cast<std::size_t>(slice_time.count()) /
                                              static_cast<std::size_t>(elapsed.count()));
  else if (node.slice < slice_records && elapsed * 2 < slice_time)
    node.slice = std::min(slice_records, node.slice * 2);

  if (!complete) {
    frame.continued = true;
    emit(node, false, nullptr);
    return;
  }
  Frame done = std::move(frames_.back());
  frames_.pop_back();
  // Downstream goes the least watermark of the inputs, and the end once all of them have ended.
  bool is_event = done.kind == FrameKind::before_barrier;
  if (done.kind == FrameKind::watermark || done.kind == FrameKind::end) {
    const bool is_end = done.kind == FrameKind::end;
    const auto advanced = is_end ? node.watermarks.on_end_of_input(done.input)
                                 : node.watermarks.on_watermark(done.input, done.watermark);
    is_event = is_end && node.open_inputs == 0;
    const bool passes = !node.makes_watermarks || advanced == Watermark{Watermark::max_time};
    if (advanced && passes && !is_event) {
      is_event = true;
      done.kind = FrameKind::watermark;
      done.watermark = *advanced;
    }
  } else if (node.makes_watermarks && !node.finished && !is_event) {
    if (const auto made = node.op->take_watermark()) {
      is_event = true;
      done.kind = FrameKind::watermark;
      done.watermark = *made;
    }
  }
  emit(node, true, is_event ? &done : nullptr);
  recycle(done);
}

bool OperatorChain::work_on(Frame& frame, Node& node) {
  switch (frame.kind) {
    case FrameKind::batch: {
      const std::size_t size = frame.batch->size();
      const std::size_t before = frame.cursor.next;
      frame.cursor.limit = std::min(size, before + node.slice);
      node.op->on_batch(frame.input, *frame.batch, frame.cursor);
      node.metrics.records_in += frame.cursor.next - before;
      return frame.cursor.next == size;
    }
    case FrameKind::watermark:
      return node.finished || node.op->on_watermark(frame.input, frame.watermark) == Progress::done;
    case FrameKind::end:
      // A source has no input to end; what it has to say, `poll` has said.
      if (!node.finished && node.source == nullptr &&
          node.op->on_end(frame.input) == Progress::more)
        return false;
      if (--node.open_inputs == 0) node.finished = true;
      return true;
    case FrameKind::before_barrier:
      return node.finished || node.op->before_barrier(frame.barrier) == Progress::done;
    case FrameKind::timer:
      return node.finished || node.op->on_timer(frame.time) == Progress::done;
  }
  return true;
}

void OperatorChain::emit(Node& node, bool everything, const Frame* event) {
  emitted_.clear();
  for (Port& port : node.ports) {
    if (port.output->batch().size() == 0 || (!everything && !port.output->full())) continue;
    std::unique_ptr<AnyBatch> batch = port.output->exchange(std::move(port.spare));
    node.metrics.records_out += batch->size();
    std::size_t consumers = port.writers.size() + port.children.size();
    const auto next_batch = [&] { return --consumers > 0 ? batch->clone() : std::move(batch); };
    for (const auto& writer : port.writers) {
      std::unique_ptr<AnyBatch> share = next_batch();
      writer->write(share);
      if (share) {
        share->clear();
        port.spare = std::move(share);
      }
    }
    for (const std::size_t child : port.children) {
      Frame& frame = emitted_.emplace_back();
      frame.node = child;
      frame.batch = next_batch();
      frame.origin_port = &port;
    }
  }
  // The stack is last in, first out: events lie below the records that they follow.
  if (event != nullptr) {
    for (Port& port : node.ports) {
      if (event->kind == FrameKind::watermark)
        for (const auto& writer : port.writers) writer->broadcast(event->watermark);
      if (event->kind == FrameKind::end)
        for (const auto& writer : port.writers) writer->broadcast(EndOfInput{});
      for (const std::size_t child : port.children)
        frames_.push_back({.kind = event->kind,
                           .node = child,
                           .watermark = event->watermark,
                           .barrier = event->barrier});
    }
  }
  for (auto frame = emitted_.rbegin(); frame != emitted_.rend(); ++frame)
    frames_.push_back(std::move(*frame));
}

void OperatorChain::recycle(Frame& frame) {
  if (!frame.batch) return;
  if (frame.origin_channel != nullptr) {
    frame.origin_channel->recycle(std::move(frame.batch));
  } else if (frame.origin_port != nullptr) {
    frame.batch->clear();
    frame.origin_port->spare = std::move(frame.batch);
  }
}

bool OperatorChain::has_room() {
  bool room = true;
  for (ExchangeWriter* writer : writers_) room = writer->has_room() && room;
  return room;
}

void OperatorChain::flush() {
  for (ExchangeWriter* writer : writers_) writer->flush();
}

bool OperatorChain::has_partial() const {
  return std::ranges::any_of(writers_,
                             [](const ExchangeWriter* writer) { return writer->has_partial(); });
}

}  // namespace weir
