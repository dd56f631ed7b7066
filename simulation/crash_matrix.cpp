#include "simulation/crash_matrix.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace weir {

namespace {

constexpr std::array faults{FlowFault::receiver_dies_before,
                            FlowFault::receiver_dies_after,
                            FlowFault::sender_dies,
                            FlowFault::dropped,
                            FlowFault::delayed,
                            FlowFault::repeated};

std::string spaced(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', ' ');
  return text;
}

std::string_view kind_name(const Endpoint& endpoint) {
  switch (endpoint.kind) {
    case EndpointKind::client:
      return "client";
    case EndpointKind::job_manager:
      return "JobManager";
    case EndpointKind::checkpoint_coordinator:
      return "CheckpointCoordinator";
    case EndpointKind::task_manager:
      return "TaskManager";
    case EndpointKind::task:
      return "Task";
  }
  return "?";
}

/// Rows of a table stand in the order in which the flow has them.
struct Row {
  std::string message;  ///< and between whom
  std::array<std::vector<const MatrixCell*>, faults.size()> cells;
};
struct Table {
  Flow flow = Flow::checkpoint;
  std::vector<Row> rows;
};

std::string row_name(const MatrixCell& cell) {
  return cell.step.message + (cell.staged.occurrence == 0 ? "" : " (last)") + ", " +
         std::string(kind_name(cell.step.from)) + " to " + std::string(kind_name(cell.step.to));
}

std::vector<Table> tables_of(const std::vector<MatrixCell>& cells) {
  std::vector<Table> tables;
  for (const MatrixCell& cell : cells) {
    auto table = std::ranges::find(tables, cell.staged.flow, &Table::flow);
    if (table == tables.end()) {
      tables.push_back({cell.staged.flow, {}});
      table = tables.end() - 1;
    }
    const std::string name = row_name(cell);
    auto row = std::ranges::find(table->rows, name, &Row::message);
    if (row == table->rows.end()) {
      table->rows.push_back({name, {}});
      row = table->rows.end() - 1;
    }
    const auto column = std::ranges::find(faults, cell.staged.fault) - faults.begin();
    row->cells[static_cast<std::size_t>(column)].push_back(&cell);
  }
  return tables;
}

/// What happened in all backends, in as few words as say it.
std::string cell_text(const std::vector<const MatrixCell*>& cells) {
  if (cells.empty()) return "";
  std::vector<std::pair<std::string, std::string>> outcomes;  // and the backends
  for (const MatrixCell* cell : cells) {
    std::string text = cell->outcome.empty() ? "no answer" : cell->outcome;
    if (!cell->has_hit) text = "not met";
    if (!cell->violations.empty()) text = "BROKEN " + cell->violations.front().promise;
    auto same = std::ranges::find(outcomes, text, &std::pair<std::string, std::string>::first);
    if (same == outcomes.end()) {
      outcomes.emplace_back(text, cell->backend);
    } else {
      same->second += ", " + cell->backend;
    }
  }
  if (outcomes.size() == 1) return outcomes[0].first;
  std::string text;
  for (const auto& [outcome, backends] : outcomes)
    text += (text.empty() ? "" : "; ") + outcome + " (" + backends + ")";
  return text;
}

std::string title(Flow flow) { return spaced(enumerator_name(flow)); }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

/// What is wrong, a line each.
std::vector<std::string> broken(const std::vector<MatrixCell>& cells) {
  std::vector<std::string> lines;
  for (const MatrixCell& cell : cells)
    for (const Violation& one : cell.violations)
      lines.push_back(title(cell.staged.flow) + ", " + row_name(cell) + ", " +
                      spaced(enumerator_name(cell.staged.fault)) + ", " + cell.backend + ": " +
                      one.promise + ": " + one.what);
  return lines;
}

std::string summary(const std::vector<MatrixCell>& cells) {
  const auto count = [&](auto is) { return std::to_string(std::ranges::count_if(cells, is)); };
  return count([](const MatrixCell&) { return true; }) + " runs, in " +
         count([](const MatrixCell& cell) { return cell.has_hit; }) + " the fault was met, in " +
         count([](const MatrixCell& cell) { return !cell.violations.empty(); }) +
         " a promise was broken";
}

}  // namespace

std::vector<MatrixCell> plan_cells(const std::string& backend, Flow flow,
                                   const std::vector<FlowStep>& steps) {
  std::vector<MatrixCell> cells;
  using Way = std::tuple<std::string, EndpointKind, EndpointKind>;
  std::vector<Way> ways;  // in the order of the flow
  std::map<Way, std::vector<const FlowStep*>> by_way;
  for (const FlowStep& step : steps) {
    const Way way{step.message, step.from.kind, step.to.kind};
    auto& of = by_way[way];
    if (of.empty()) ways.push_back(way);
    of.push_back(&step);
  }
  for (const Way& way : ways) {
    const auto& of = by_way[way];
    const auto& [name, from, to] = way;
    std::vector<std::size_t> occurrences{0};
    if (of.size() > 1) occurrences.push_back(of.size() - 1);
    for (const std::size_t n : occurrences)
      for (const FlowFault fault : faults) {
        const FlowStep& step = *of[n];
        const bool needs_link = is_of_link(fault) || fault == FlowFault::sender_dies;
        if (needs_link && !step.crosses) continue;
        if (!needs_link && step.to.kind == EndpointKind::client) continue;
        cells.push_back({backend, {flow, name, from, to, n, fault}, step, false, {}, {}});
      }
  }
  return cells;
}

std::string matrix_text(const std::vector<MatrixCell>& cells) {
  std::string text;
  for (const Table& table : tables_of(cells)) {
    text += title(table.flow) + "\n";
    for (const Row& row : table.rows) {
      text += "  " + row.message + "\n";
      for (std::size_t i = 0; i < faults.size(); ++i) {
        if (row.cells[i].empty()) continue;
        std::string fault = "    " + spaced(enumerator_name(faults[i]));
        fault.resize(28, ' ');
        text += fault + cell_text(row.cells[i]) + "\n";
      }
    }
    text += "\n";
  }
  for (const std::string& line : broken(cells)) text += line + "\n";
  return text + summary(cells) + "\n";
}

std::string matrix_markdown(const std::vector<MatrixCell>& cells) {
  std::string text = "# Crash matrix\n\n" + summary(cells) + ".\n";
  for (const Table& table : tables_of(cells)) {
    text += "\n## " + title(table.flow) + "\n\n| message |";
    for (const FlowFault fault : faults) text += " " + spaced(enumerator_name(fault)) + " |";
    text += "\n| --- |";
    for (std::size_t i = 0; i < faults.size(); ++i) text += " --- |";
    text += "\n";
    for (const Row& row : table.rows) {
      text += "| " + row.message + " |";
      for (const auto& of : row.cells) text += " " + cell_text(of) + " |";
      text += "\n";
    }
  }
  const auto lines = broken(cells);
  if (!lines.empty()) text += "\n## Broken promises\n\n";
  for (const std::string& line : lines) text += "- " + line + "\n";
  return text;
}

std::string matrix_html(const std::vector<MatrixCell>& cells) {
  std::string text =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Crash matrix</title>\n"
      "<style>body{font:14px/1.4 system-ui,sans-serif;margin:2em}table{border-collapse:collapse}"
      "td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}"
      "th{background:#f3f3f3}td.held{background:#e9f6ec}td.broken{background:#f9d9d6}"
      "td.unmet{color:#777}</style>\n<h1>Crash matrix</h1>\n<p>" +
      escaped(summary(cells)) + ".</p>\n";
  for (const Table& table : tables_of(cells)) {
    text += "<h2>" + escaped(title(table.flow)) + "</h2>\n<table>\n<tr><th>message</th>";
    for (const FlowFault fault : faults) text += "<th>" + spaced(enumerator_name(fault)) + "</th>";
    text += "</tr>\n";
    for (const Row& row : table.rows) {
      text += "<tr><th>" + escaped(row.message) + "</th>";
      for (const auto& of : row.cells) {
        const bool is_broken =
            std::ranges::any_of(of, [](const auto* cell) { return !cell->violations.empty(); });
        const bool is_met = std::ranges::any_of(of, [](const auto* cell) { return cell->has_hit; });
        text += std::string("<td class=\"") +
                (of.empty()  ? ""
                 : is_broken ? "broken"
                 : is_met    ? "held"
                             : "unmet") +
                "\">" + escaped(cell_text(of)) + "</td>";
      }
      text += "</tr>\n";
    }
    text += "</table>\n";
  }
  const auto lines = broken(cells);
  if (!lines.empty()) text += "<h2>Broken promises</h2>\n<ul>\n";
  for (const std::string& line : lines) text += "<li>" + escaped(line) + "</li>\n";
  return text + (lines.empty() ? "" : "</ul>\n") + "</html>\n";
}

}  // namespace weir
