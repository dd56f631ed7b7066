#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "simulation/simulated_file_system.hpp"

namespace weir {

/// Operations on files behind which a process is ended by name: what it has just done is there, what would have followed
/// is not.
inline constexpr std::array<std::string_view, 13> file_kill_points{
    "create snapshot file", "append to snapshot file", "sync snapshot file", "rename snapshot file",
    "append to _metadata",  "sync _metadata",          "rename _metadata",   "sync directory",
    "remove snapshot file", "remove _metadata",        "append to output",   "sync output",
    "rename output",
};
/// From here on they are operations on output.
inline constexpr std::size_t first_output_kill_point = 10;
/// Which of them `event`, a success, is; empty: none. Output is what lies outside of `snapshots`, the directory of
/// checkpoints and savepoints.
[[nodiscard]] std::string_view file_kill_point(const FileEvent& event, std::string_view snapshots);

/// Messages before and after which the process of their receiver is ended by name.
inline constexpr std::array<std::string_view, 9> message_kill_points{
    "SubmitJob",
    "RegisterTaskManager",
    "SubmitTask",
    "StartTask",
    "UpdateTaskState",
    "TriggerCheckpoint",
    "AcknowledgeCheckpoint",
    "NotifyCheckpointComplete",
    "CancelTask",
};
/// As `before TriggerCheckpoint`.
[[nodiscard]] std::string message_kill_point(std::string_view message, bool after);

/// The names of all.
[[nodiscard]] std::vector<std::string> kill_points();

}  // namespace weir
