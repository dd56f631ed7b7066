#include "simulation/scenario/message_diagram.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "simulation/scenario/xml_text.hpp"

namespace weir {
namespace {

/// More lifelines of tasks than this are drawn as one for each vertex.
constexpr std::size_t most_task_lines = 8;
/// More rows than this are cut in the middle.
constexpr std::size_t most_rows = 300;
/// More messages of one kind in a row than this are folded.
constexpr std::size_t most_of_one_kind = 6;

constexpr int line_distance = 176;
constexpr int first_line_x = 150;
constexpr int header_height = 96;
constexpr int row_height = 26;

constexpr std::array<std::string_view, 14> left_out{"Heartbeat",
                                                    "TasksHeard",
                                                    "ListJobs",
                                                    "JobList",
                                                    "RequestJobDetails",
                                                    "JobDetails",
                                                    "UpdateTaskState",
                                                    "TaskStateChanged",
                                                    "JobStateChanged",
                                                    "Done",
                                                    "CheckpointCountsChanged",
                                                    "RegistrationSuccess",
                                                    "RegisterTaskManager",
                                                    "CoordinatorSettled"};

std::string kind_of(const std::string& actor) { return actor.substr(0, actor.find(':')); }

/// Which of the eight steps a message is; empty: none.
std::string step_number(const SeenMessage& message) {
  const bool asks =
      message.message == "TriggerSavepoint" || message.message == "CancelJobWithSavepoint" ||
      message.message == "StopJobWithSavepoint" || message.message == "RequestCheckpoint";
  const std::string from = kind_of(message.from);
  const std::string to = kind_of(message.to);
  if (asks && from == "client") return "1";
  if (asks && from == "JobManager") return "2";
  if (message.message == "TriggerCheckpoint" && from == "CheckpointCoordinator") return "3–5";
  if (message.message == "TriggerCheckpoint" && to == "Task") return "6–7";
  if ((message.message == "AcknowledgeCheckpoint" || message.message == "DeclineCheckpoint") &&
      from == "Task")
    return "8";
  return "";
}

/// One line of the diagram, from above to below.
struct Row {
  enum class Kind : std::uint8_t { message, step, fold } kind = Kind::message;
  const SeenMessage* message = nullptr;
  const StepReport* step = nullptr;
  std::size_t count = 1;  ///< of messages that are the same
  std::string text;       ///< of a fold
};

std::string number(int value) { return std::to_string(value); }

class Diagram {
 public:
  explicit Diagram(const ScenarioReport& report) : report_(report) {}

  std::string draw() {
    choose_messages();
    make_rows();
    choose_lifelines();
    return svg();
  }

 private:
  // ---- what is drawn

  /// A checkpoint of one run of a job.
  using Checkpoint = std::pair<std::string, std::uint64_t>;
  static Checkpoint checkpoint_of(const SeenMessage& message) {
    return {message.job, message.checkpoint};
  }
  static Checkpoint next_of(Checkpoint checkpoint) {
    ++checkpoint.second;
    return checkpoint;
  }

  /// Finds checkpoints whose messages are those of the one before, which is drawn.
  void choose_messages() {
    const auto& messages = report_.messages;
    std::map<Checkpoint, std::multiset<std::string>> ways;
    std::map<Checkpoint, std::pair<std::size_t, std::size_t>> spans;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const SeenMessage& message = messages[i];
      if (message.checkpoint == 0 || is_left_out(message)) continue;
      const Checkpoint checkpoint = checkpoint_of(message);
      ways[checkpoint].insert(message.from + ">" + message.to + ">" + message.message);
      spans.try_emplace(checkpoint, i, i).first->second.second = i;
    }
    // Behind a step one looks for what it has changed.
    const auto step_between = [&](const Checkpoint& one, const Checkpoint& next) {
      return std::ranges::any_of(report_.steps, [&](const StepReport& step) {
        return step.first_message > spans[one].first && step.first_message <= spans[next].second;
      });
    };
    const std::multiset<std::string>* last_way = nullptr;
    Checkpoint last;
    for (const auto& [checkpoint, way] : ways) {
      if (last_way != nullptr && *last_way == way && next_of(last) == checkpoint &&
          !step_between(last, checkpoint))
        folded_.insert(checkpoint);
      last_way = &way;
      last = checkpoint;
    }
    // One alone takes no more room than saying so.
    std::set<Checkpoint> more;
    for (const Checkpoint& one : folded_)
      if (folded_.contains(next_of(one))) more.insert({one, next_of(one)});
    folded_ = std::move(more);
  }

  static bool is_left_out(const SeenMessage& message) {
    return std::ranges::find(left_out, message.message) != left_out.end();
  }

  static bool are_same(const SeenMessage& a, const SeenMessage& b) {
    return a.from == b.from && a.to == b.to && a.message == b.message && a.reason == b.reason &&
           checkpoint_of(a) == checkpoint_of(b);
  }

  void make_rows() {
    std::vector<Row> rows;
    std::size_t next_step = 0;
    std::set<Checkpoint> told;  // folded ones of which a row speaks
    const auto& messages = report_.messages;
    const auto add_steps = [&](std::size_t up_to) {
      for (; next_step < report_.steps.size() && report_.steps[next_step].first_message <= up_to;
           ++next_step)
        rows.push_back({Row::Kind::step, nullptr, &report_.steps[next_step], 1, {}});
    };
    for (std::size_t i = 0; i < messages.size(); ++i) {
      add_steps(i);
      const SeenMessage& message = messages[i];
      if (is_left_out(message)) continue;
      const Checkpoint checkpoint = checkpoint_of(message);
      if (folded_.contains(checkpoint)) {
        if (told.contains(checkpoint)) continue;
        Checkpoint last = checkpoint;
        for (; folded_.contains(last); last = next_of(last)) told.insert(last);
        rows.push_back({Row::Kind::fold, nullptr, nullptr, 1,
                        "checkpoints " + std::to_string(checkpoint.second) + " to " +
                            std::to_string(last.second - 1) + " go the same way"});
        continue;
      }
      if (!rows.empty() && rows.back().message != nullptr &&
          are_same(*rows.back().message, message))
        ++rows.back().count;
      else
        rows.push_back({Row::Kind::message, &message, nullptr, 1, {}});
    }
    add_steps(messages.size());
    fold_runs(rows);
    if (rows_.size() <= most_rows) return;
    const std::size_t cut = rows_.size() - most_rows;
    const auto begin = rows_.begin() + most_rows / 2;
    rows_.erase(begin, begin + static_cast<std::ptrdiff_t>(cut));
    rows_.insert(rows_.begin() + most_rows / 2, {Row::Kind::fold, nullptr, nullptr, 1,
                                                 std::to_string(cut) + " rows are left out here"});
  }

  /// Of many messages of one kind in a row the first two and the last are drawn.
  void fold_runs(const std::vector<Row>& rows) {
    const auto kind = [](const Row& row) {
      return row.kind == Row::Kind::message
                 ? kind_of(row.message->from) + ">" + kind_of(row.message->to) + ">" +
                       row.message->message
                 : std::string();
    };
    for (std::size_t i = 0; i < rows.size();) {
      std::size_t end = i + 1;
      while (end < rows.size() && !kind(rows[i]).empty() && kind(rows[end]) == kind(rows[i])) ++end;
      const bool fold = end - i > most_of_one_kind;
      rows_.insert(rows_.end(), rows.begin() + static_cast<std::ptrdiff_t>(i),
                   rows.begin() + static_cast<std::ptrdiff_t>(fold ? i + 2 : end));
      if (fold) {
        rows_.push_back({Row::Kind::fold, nullptr, nullptr, 1,
                         std::to_string(end - i - 3) + " more of " + rows[i].message->message});
        rows_.push_back(rows[end - 1]);
      }
      i = end;
    }
  }

  // ---- lifelines

  void choose_lifelines() {
    std::set<std::string> seen;
    for (const Row& row : rows_)
      if (row.kind == Row::Kind::message) {
        seen.insert(row.message->from);
        seen.insert(row.message->to);
      }
    const auto tasks = static_cast<std::size_t>(std::ranges::count_if(
        seen, [](const std::string& actor) { return kind_of(actor) == "Task"; }));
    one_line_a_vertex_ = tasks > most_task_lines;
    std::vector<std::string> lines;
    for (const char* kind :
         {"client", "JobManager", "CheckpointCoordinator", "TaskManager", "Task"}) {
      std::vector<std::pair<std::vector<std::uint64_t>, std::string>> of_kind;
      for (const std::string& actor : seen)
        if (kind_of(actor) == kind) of_kind.emplace_back(numbers_of(actor), actor);
      std::ranges::sort(of_kind);
      for (const auto& [numbers, actor] : of_kind) {
        const std::string line = line_of(actor);
        if (std::ranges::find(lines, line) == lines.end()) lines.push_back(line);
      }
    }
    for (std::size_t i = 0; i < lines.size(); ++i)
      x_[lines[i]] = first_line_x + static_cast<int>(i) * line_distance;
    lines_ = std::move(lines);
  }

  static std::vector<std::uint64_t> numbers_of(const std::string& actor) {
    std::vector<std::uint64_t> numbers;
    bool within = false;
    for (const char c : actor) {
      const bool digit = c >= '0' && c <= '9';
      if (digit && !within) numbers.push_back(0);
      if (digit) numbers.back() = numbers.back() * 10 + static_cast<std::uint64_t>(c - '0');
      within = digit;
    }
    return numbers;
  }

  /// The lifeline on which `actor` is drawn.
  [[nodiscard]] std::string line_of(const std::string& actor) const {
    return one_line_a_vertex_ && kind_of(actor) == "Task" ? actor.substr(0, actor.find('/'))
                                                          : actor;
  }

  /// The lifelines that a crash of `process` ends, as far as the messages before it tell.
  [[nodiscard]] std::vector<std::string> lines_ended_by(const StepReport& step) const {
    std::vector<std::string> ended;
    const ProcessName& process = step.process;
    const bool all = report_.one_process || process.kind == ProcessKind::everything ||
                     process.kind == ProcessKind::host;
    const std::string task_manager = "TaskManager:" + std::to_string(process.number);
    // Which tasks a TaskManager has spoken to last.
    std::map<std::string, std::string> at;
    for (std::size_t i = 0; i < std::min(step.first_message, report_.messages.size()); ++i) {
      const SeenMessage& message = report_.messages[i];
      if (kind_of(message.from) == "TaskManager" && kind_of(message.to) == "Task")
        at[line_of(message.to)] = message.from;
    }
    for (const std::string& line : lines_) {
      const std::string kind = kind_of(line);
      if (kind == "client") continue;
      const bool job_manager = kind == "JobManager" || kind == "CheckpointCoordinator";
      const auto where = at.find(line);
      const bool meets =
          all || (process.kind == ProcessKind::job_manager && job_manager) ||
          (process.kind == ProcessKind::task_manager &&
           (line == task_manager || (where != at.end() && where->second == task_manager)));
      if (meets) ended.push_back(line);
    }
    return ended;
  }

  // ---- drawing

  std::string svg() {
    const int width =
        std::max(first_line_x + (static_cast<int>(lines_.size()) - 1) * line_distance + 110, 640);
    int y = header_height + 12;
    std::string body;
    for (const Row& row : rows_) {
      y += row_height;
      if (row.kind == Row::Kind::message)
        draw_message(row, y, body);
      else if (row.kind == Row::Kind::fold)
        draw_fold(row.text, y, width, body);
      else
        draw_step(*row.step, y, width, body);
    }
    const int bottom = y + 20;
    const int height = bottom + 20;
    std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) +
                       " " + number(height) + "\" width=\"" + number(width) + "\" height=\"" +
                       number(height) +
                       "\" role=\"img\" aria-labelledby=\"title desc\">\n  <title id=\"title\">" +
                       xml_text(report_.name) +
                       "</title>\n  <desc id=\"desc\">Sequence diagram of the control messages "
                       "that were seen, with the steps of the "
                       "scenario between them.</desc>\n";
    text += style;
    text += "  <rect class=\"paper\" width=\"" + number(width) + "\" height=\"" + number(height) +
            "\" rx=\"8\"/>\n";
    text += "  <text class=\"title\" x=\"16\" y=\"26\">" + xml_text(report_.name) + "</text>\n";
    draw_lifelines(bottom, text);
    return text + body + "</svg>\n";
  }

  void draw_lifelines(int bottom, std::string& text) {
    for (const std::string& line : lines_) {
      const std::string x = number(x_[line]);
      int from = header_height;
      std::string path;
      for (const auto& [end, begin] : gaps_[line]) {
        path += "M" + x + "," + number(from) + " V" + number(end) + " ";
        from = begin;
      }
      if (from < bottom) path += "M" + x + "," + number(from) + " V" + number(bottom);
      text += "  <path class=\"life\" d=\"" + path + "\"/>\n";
    }
    for (const std::string& line : lines_) {
      const auto [name, note] = header_of(line);
      const int x = x_[line];
      text += "  <rect class=\"box\" x=\"" + number(x - 72) +
              "\" y=\"46\" width=\"144\" height=\"46\" rx=\"6\"/>\n";
      text += "  <text class=\"name\" x=\"" + number(x) + "\" y=\"66\" text-anchor=\"middle\">" +
              xml_text(name) + "</text>\n";
      text += "  <text class=\"" + std::string(note == "Coordinator" ? "name" : "small note") +
              "\" x=\"" + number(x) + "\" y=\"83\" text-anchor=\"middle\">" + xml_text(note) +
              "</text>\n";
    }
  }

  /// The two lines in the box above a lifeline.
  [[nodiscard]] std::pair<std::string, std::string> header_of(const std::string& line) const {
    const std::string kind = kind_of(line);
    if (kind == "client") return {"Client", "weir"};
    if (kind == "JobManager") return {"JobManager", "actor"};
    if (kind == "CheckpointCoordinator") return {"Checkpoint-", "Coordinator"};
    const auto numbers = numbers_of(line);
    if (kind == "TaskManager")
      return {"TaskManager " + (numbers.empty() ? "" : std::to_string(numbers[0])), "actor"};
    std::string name = "vertex " + (numbers.empty() ? "" : std::to_string(numbers[0]));
    if (!numbers.empty()) {
      const auto known = report_.vertex_names.find(static_cast<std::uint32_t>(numbers[0]));
      if (known != report_.vertex_names.end()) name = known->second;
    }
    if (name.size() > 22) name = name.substr(0, 19) + "...";
    return {numbers.size() > 1
                ? "Task " + std::to_string(numbers[0]) + "/" + std::to_string(numbers[1])
                : "Tasks " + (numbers.empty() ? "" : std::to_string(numbers[0])) + "/*",
            name};
  }

  /// The lifeline goes on, if it was ended.
  void revive(const std::string& line, int y) {
    alive_.insert(line);
    auto& gaps = gaps_[line];
    if (!gaps.empty() && gaps.back().second == never) gaps.back().second = y - 8;
  }

  void draw_message(const Row& row, int y, std::string& body) {
    const SeenMessage& message = *row.message;
    const std::string from_line = line_of(message.from);
    const std::string to_line = line_of(message.to);
    revive(from_line, y);
    revive(to_line, y);
    const int from = x_[from_line];
    const int to = x_[to_line];
    const bool bad = message.message.find("Failure") != std::string::npos ||
                     message.message == "DeclineCheckpoint" ||
                     message.message == "NotifyCheckpointAborted";
    const std::string step = step_number(message);
    if (!step.empty() && step != last_step_number_) {
      draw_number(step, y, body);
      last_step_number_ = step;
    }
    std::string label = message.message;
    if (message.checkpoint != 0) label += " " + std::to_string(message.checkpoint);
    if (!message.reason.empty()) label += ": " + message.reason;
    if (row.count > 1) label += " × " + std::to_string(row.count);
    int label_x = (from + to) / 2;
    std::string path = "M" + number(from + (to > from ? 3 : -3)) + "," + number(y) + " H" +
                       number(to + (to > from ? -3 : 3));
    if (from == to) {
      path = "M" + number(from + 3) + "," + number(y - 6) + " h26 v10 h-23";
      label_x = from + 100;
    }
    // Over many lifelines the label stands near the sender, where one looks for it.
    if (std::abs(to - from) > 2 * line_distance)
      label_x = from + (to > from ? 1 : -1) * line_distance;
    body += "  <path class=\"arrow" + std::string(bad ? " bad" : "") + "\" d=\"" + path + "\"/>\n";
    body += "  <text class=\"small halo" + std::string(bad ? " badtext" : "") + "\" x=\"" +
            number(label_x) + "\" y=\"" + number(y - 6) + "\" text-anchor=\"middle\">" +
            xml_text(label) + "</text>\n";
  }

  static void draw_number(const std::string& step, int y, std::string& body) {
    body += "  <rect class=\"number\" x=\"14\" y=\"" + number(y - 14) +
            "\" width=\"38\" height=\"20\" rx=\"10\"/>\n";
    body += "  <text class=\"numbertext\" x=\"33\" y=\"" + number(y) +
            "\" text-anchor=\"middle\">" + step + "</text>\n";
  }

  static void draw_fold(const std::string& what, int y, int width, std::string& body) {
    const std::string left = number(first_line_x - 72);
    body += "  <path class=\"fold\" d=\"M" + left + "," + number(y - 4) + " H" +
            number(width - 38) + "\"/>\n";
    body += "  <text class=\"small note halo\" x=\"" +
            number((first_line_x - 72 + width - 38) / 2) + "\" y=\"" + number(y) +
            "\" text-anchor=\"middle\">… " + xml_text(what) + " …</text>\n";
  }

  void draw_step(const StepReport& step, int& y, int width, std::string& body) {
    last_step_number_.clear();
    y += 4;
    const std::string kind = step.failed || step.is_crash ? " crash"
                             : step.is_fault              ? " fault"
                                                          : "";
    body += "  <rect class=\"step" + kind + "\" x=\"8\" y=\"" + number(y - 16) + "\" width=\"" +
            number(width - 16) + "\" height=\"22\" rx=\"4\"/>\n";
    body += "  <text class=\"steptext\" x=\"18\" y=\"" + number(y) + "\">" + xml_text(step.text) +
            (step.failed ? " — failed" : "") + "</text>\n";
    if (step.is_crash && !step.failed) {
      for (const std::string& line : lines_ended_by(step)) {
        const int x = x_[line];
        auto& gaps = gaps_[line];
        if (!alive_.contains(line) || (!gaps.empty() && gaps.back().second == never)) continue;
        body += "  <path class=\"cross\" d=\"M" + number(x - 7) + "," + number(y - 12) +
                " l14,14 m0,-14 l-14,14\"/>\n";
        gaps.emplace_back(y - 5, never);
      }
    }
    y += 6;
  }

  static constexpr int never = 1 << 28;
  static constexpr const char* style =
      R"(  <style>
    text { font-family: "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328; }
    .small { font-size: 11px; }
    .note { fill: #59636e; }
    .name { font-weight: bold; }
    .title { font-size: 15px; font-weight: bold; }
    .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
    .paper { fill: #ffffff; }
    .box { fill: #eef3f8; stroke: #57718c; }
    .arrow { fill: none; stroke: #3d5a76; stroke-width: 1.4; marker-end: url(#head); }
    .bad { stroke: #b3261e; }
    .badtext { fill: #b3261e; }
    .life { fill: none; stroke: #a9b4bf; stroke-dasharray: 2 4; }
    .fold { stroke: #a9b4bf; stroke-dasharray: 1 3; }
    .step { fill: #f3f5f7; stroke: none; }
    .steptext { font-size: 12px; font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; }
    .fault { fill: #fbf3dc; }
    .crash { fill: #fbe4e2; }
    .cross { fill: none; stroke: #b3261e; stroke-width: 3; }
    .number { fill: #3d5a76; }
    .numbertext { font-size: 11px; font-weight: bold; fill: #ffffff; }
    .head { fill: #3d5a76; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #9da7b1; }
      .halo { stroke: #0d1117; }
      .paper { fill: #0d1117; }
      .box { fill: #1b2733; stroke: #7d9bb8; }
      .arrow { stroke: #9fbddb; }
      .bad { stroke: #ff8a80; }
      .badtext { fill: #ff8a80; }
      .life, .fold { stroke: #4b5661; }
      .step { fill: #161d26; }
      .fault { fill: #2d2611; }
      .crash { fill: #3a1614; }
      .cross { stroke: #ff8a80; }
      .number { fill: #9fbddb; }
      .numbertext { fill: #0d1117; }
      .head { fill: #9fbddb; }
    }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto" markerUnits="userSpaceOnUse">
      <path class="head" d="M0,0 L8,4 L0,8 z"/>
    </marker>
  </defs>
)";

  const ScenarioReport& report_;
  std::set<Checkpoint> folded_;
  std::vector<Row> rows_;
  std::vector<std::string> lines_;
  std::map<std::string, int> x_;
  std::map<std::string, std::vector<std::pair<int, int>>>
      gaps_;                     ///< where a lifeline is interrupted
  std::set<std::string> alive_;  ///< lifelines that have taken part so far
  bool one_line_a_vertex_ = false;
  std::string last_step_number_;
};

}  // namespace

std::string draw_messages(const ScenarioReport& report) { return Diagram(report).draw(); }

}  // namespace weir
