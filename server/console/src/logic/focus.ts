/** For a dialog's `afterOpenChange`: the keyboard begins at the field with this id, not at the dialog's close button. */
export function focusOnOpen(id: string): (open: boolean) => void {
  return (open) => {
    if (open) document.getElementById(id)?.focus();
  };
}
