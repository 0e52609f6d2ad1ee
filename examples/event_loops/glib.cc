// SPDX-License-Identifier: Apache-2.0

// A program whose only thread runs GLib's main loop, as GTK's programs do.
#include <glib-unix.h>
#include <glib.h>

#include "greetings.h"

namespace {

gboolean RunQueue(gint /*fd*/, GIOCondition /*condition*/, gpointer queue) {
  static_cast<nearcall::EventQueue*>(queue)->Run(64);
  return G_SOURCE_CONTINUE;
}

}  // namespace

int main() {
  nearcall::EventQueue queue;
  GMainLoop* const loop = g_main_loop_new(nullptr, FALSE);
  bool done = false;
  const Greetings greetings(queue, [&] {
    done = true;
    g_main_loop_quit(loop);
  });

  const guint source = g_unix_fd_add(queue.fd(), G_IO_IN, &RunQueue, &queue);
  if (!done) g_main_loop_run(loop);
  g_source_remove(source);
  g_main_loop_unref(loop);
  return greetings.Report();
}
