// Whether the kernel that a widget belongs to is still there. There is no one word for it: ipywidgets says "comm_live_update" once the
// kernel was asked to restart; of one that died by itself JupyterLab's connection tells; elsewhere a message cannot be sent any more.
// Silence tells nothing: the kernel may be busy. And nobody is asked again and again: that would keep an idle kernel from its rest.
const ENDS = ["restarting", "autorestarting", "terminating", "dead"];

export const GONE = "The kernel has gone: it was restarted, or it ended.";
export const SLOW = "The kernel has not answered yet; it may be busy, or was restarted: then run the notebook's cells again";

/** `send(message)` never throws; `watch(gone)` has `gone()` called once, when the kernel has gone, and returns what ends that. */
export function lifeline({ model, el }) {
  let isGone = el.classList.contains("jupyter-widgets-disconnected"); // drawn from a saved notebook
  let tell = () => {};
  const lose = () => {
    if (isGone) return;
    isGone = true;
    tell();
  };
  const hear = (_, status) => ENDS.includes(status) && lose();

  return {
    send(message) {
      if (isGone) return;
      try {
        model.send(message);
      } catch {
        lose();
      }
    },
    watch(gone) {
      const kernel = model.widget_manager?.kernel;
      tell = gone;
      model.on("comm_live_update", lose);
      kernel?.statusChanged?.connect(hear);
      if (isGone) gone();
      return () => {
        model.off("comm_live_update", lose);
        kernel?.statusChanged?.disconnect(hear);
      };
    },
  };
}

/** Leaves in `place` what can be read, and nothing to click or to fill in. */
export function still(place) {
  for (const control of place.querySelectorAll("button, input, select, textarea")) control.disabled = true;
}
