#include "actors/deletion_queue.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace weir {
namespace {

DeleteSnapshot checkpoint(std::uint64_t id) {
  return {{id}, "/c/chk-" + std::to_string(id), false};
}
/// One that never completed.
DeleteSnapshot aborted(std::uint64_t id) { return {{id}, "/c/chk-" + std::to_string(id), true}; }
DeleteSharedFiles shared(const std::string& file) { return {"/c/shared", {file}}; }
MarkFinished finished() { return {"/c", {1, 2}, "words"}; }

std::string name_of(const DeletionQueue::Deletion& deletion) {
  if (const auto* snapshot = std::get_if<DeleteSnapshot>(&deletion))
    return "chk-" + std::to_string(snapshot->checkpoint.value);
  if (const auto* files = std::get_if<DeleteSharedFiles>(&deletion)) return files->files.front();
  return "finished";
}

/// Carries out everything that is in the queue; the deletion called `failing` fails. Returns what was
/// tried.
std::vector<std::string> carry_out(DeletionQueue& queue, const std::string& failing) {
  std::vector<std::string> tried;
  while (const DeletionQueue::Deletion* next = queue.begin_next()) {
    tried.push_back(name_of(*next));
    CHECK(name_of(queue.end(tried.back() != failing)) == tried.back());
  }
  CHECK(queue.empty());
  return tried;
}

using Names = std::vector<std::string>;

}  // namespace

SCENARIO("deletions are carried out one after the other", "[actors]") {
  GIVEN("two checkpoints to be deleted") {
    DeletionQueue queue;
    CHECK(queue.begin_next() == nullptr);
    queue.push(checkpoint(1));
    queue.push(checkpoint(2));
    WHEN("the first is under way") {
      REQUIRE(queue.begin_next() != nullptr);
      THEN("the other waits until it has ended") {
        CHECK(queue.begin_next() == nullptr);
        CHECK(name_of(queue.end(true)) == "chk-1");
        CHECK_FALSE(queue.empty());
        const auto* second = queue.begin_next();
        REQUIRE(second != nullptr);
        CHECK(name_of(*second) == "chk-2");
        CHECK(name_of(queue.end(true)) == "chk-2");
        CHECK(queue.empty());
      }
    }
  }
}

SCENARIO("what a deletion that fails gives up", "[actors]") {
  DeletionQueue queue;
  const auto tried = [&](const std::string& failing) { return carry_out(queue, failing); };
  GIVEN("old checkpoints, what only they name, and one that was aborted") {
    queue.push(checkpoint(1));
    queue.push(checkpoint(2));
    queue.push(shared("of-1-and-2"));
    queue.push(finished());
    THEN("all of it goes if nothing fails") {
      CHECK(tried("") == Names{"chk-1", "chk-2", "of-1-and-2", "finished"});
    }
    THEN("the newer checkpoints and shared files stay with a checkpoint that is not deleted") {
      CHECK(tried("chk-1") == Names{"chk-1", "finished"});
      AND_THEN("later checkpoints go, shared files do not") {
        queue.push(checkpoint(3));
        queue.push(shared("of-3"));
        CHECK(tried("") == Names{"chk-3"});
      }
    }
    THEN("shared files that are not deleted hold nothing up") {
      queue.push(checkpoint(3));
      queue.push(shared("of-3"));
      CHECK(tried("of-1-and-2") ==
            Names{"chk-1", "chk-2", "of-1-and-2", "finished", "chk-3", "of-3"});
    }
  }
  GIVEN("a run that has finished, and its checkpoints") {
    queue.push(finished());
    queue.push(checkpoint(1));
    queue.push(shared("of-1"));
    THEN("everything stays if it cannot be said that it has finished") {
      CHECK(tried("finished") == Names{"finished"});
    }
  }
  GIVEN("an aborted checkpoint, which names nothing that stays") {
    queue.push(aborted(4));
    queue.push(shared("of-3"));
    THEN("shared files go also if it is not deleted") {
      CHECK(tried("chk-4") == Names{"chk-4", "of-3"});
    }
  }
  GIVEN("an aborted checkpoint, and a completed one that goes behind it with what it names") {
    queue.push(aborted(4));
    queue.push(checkpoint(3));
    queue.push(shared("of-3"));
    THEN("the completed one keeps its files if it is kept") {
      CHECK(tried("chk-4") == Names{"chk-4"});
    }
  }
}

}  // namespace weir
