#include "actors/deletion_queue.hpp"

#include <utility>

#include "state/result.hpp"

namespace weir {

const DeletionQueue::Deletion* DeletionQueue::begin_next() {
  if (under_way_) return nullptr;
  while (shared_files_stay_ && !queue_.empty() &&
         std::holds_alternative<DeleteSharedFiles>(queue_.front()))
    queue_.pop_front();
  if (queue_.empty()) return nullptr;
  under_way_ = true;
  return &queue_.front();
}

DeletionQueue::Deletion DeletionQueue::end(bool succeeded) {
  WEIR_ASSERT(under_way_);
  under_way_ = false;
  Deletion ended = std::move(queue_.front());
  queue_.pop_front();
  if (succeeded || std::holds_alternative<DeleteSharedFiles>(ended)) return ended;
  const auto kept = std::erase_if(
      queue_, [](const Deletion& one) { return std::holds_alternative<DeleteSnapshot>(one); });
  const auto* snapshot = std::get_if<DeleteSnapshot>(&ended);
  if (snapshot == nullptr || !snapshot->with_shared || kept > 0) shared_files_stay_ = true;
  return ended;
}

}  // namespace weir
