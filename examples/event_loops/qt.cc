// SPDX-License-Identifier: Apache-2.0

// A program whose only thread runs Qt's event loop.
#include <QCoreApplication>
#include <QSocketNotifier>

#include "greetings.h"

int main(int argc, char** argv) {
  nearcall::EventQueue queue;
  QCoreApplication application(argc, argv);
  QSocketNotifier notifier(queue.fd(), QSocketNotifier::Read);
  QObject::connect(&notifier, &QSocketNotifier::activated, [&] { queue.Run(64); });

  // quit() before exec() would be forgotten.
  const Greetings greetings(queue,
                            [] { QMetaObject::invokeMethod(qApp, &QCoreApplication::quit, Qt::QueuedConnection); });
  QCoreApplication::exec();
  return greetings.Report();
}
