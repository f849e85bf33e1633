/** Live curves: uPlot draws them, one chart for the whole life of the page. */
import { h } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

const colors = ["#0072b2", "#c75000", "#00795a", "#a3488a", "#8a6d00"];
const dashes = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 4]];
const heightPixels = 170;

/** `series`: names of the curves; `valuesOf(sample)`: their values, null where there is none. */
export function Chart({ title, samples, series, valuesOf }) {
  const place = useRef(null);
  const plot = useRef(null);
  const key = series.join("/");
  useEffect(() => {
    const element = place.current;
    const ink = getComputedStyle(element).color;
    const axis = { stroke: ink, grid: { stroke: "#8884", width: 1 } };
    plot.current = new uPlot(
      {
        title,
        width: element.clientWidth || 330,
        height: heightPixels,
        cursor: { show: false },
        scales: { y: { range: (_plot, _low, high) => [0, Math.max(1, (high ?? 1) * 1.1)] } },
        axes: [axis, { ...axis, size: 56 }],
        series: [
          {},
          ...series.map((label, i) => ({
            label,
            stroke: colors[i % colors.length],
            dash: dashes[i % dashes.length],
            width: 2,
          })),
        ],
      },
      [[], ...series.map(() => [])],
      element,
    );
    const resize = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth || 330, height: heightPixels });
    });
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [key]);
  useEffect(() => {
    const rows = samples.map(valuesOf);
    plot.current?.setData([
      samples.map(({ at }) => at / 1000),
      ...series.map((_, i) => rows.map((row) => row[i] ?? null)),
    ]);
  }, [samples, key]);
  return h("div", { class: "chart", ref: place });
}
