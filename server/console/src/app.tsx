import { QueryClientProvider } from '@tanstack/react-query';
import { App as AntApp, ConfigProvider } from 'antd';
import en from 'antd/locale/en_US';
import zh from 'antd/locale/zh_CN';
import { lazy, Suspense } from 'react';
import { useTranslation } from 'react-i18next';
import { createBrowserRouter, Navigate, RouterProvider } from 'react-router';

import { queryClient } from './api/queries';
import { language } from './i18n';
import { nonce } from './logic/nonce';
import { NotFound } from './pages/not-found';
import { Shell } from './parts/shell';
import { Wait } from './parts/wait';
import { consoleTheme } from './theme';

const Today = lazy(() => import('./pages/today'));
const Records = lazy(() => import('./pages/records'));
const RecordPage = lazy(() => import('./pages/record'));
const RecordById = lazy(() => import('./pages/record-by-id'));
const Quarantine = lazy(() => import('./pages/quarantine'));
const Doubles = lazy(() => import('./pages/doubles'));
const Exchanges = lazy(() => import('./pages/exchanges'));
const Overview = lazy(() => import('./pages/overview'));
const People = lazy(() => import('./pages/people'));
const Devices = lazy(() => import('./pages/devices'));
const Forms = lazy(() => import('./pages/forms'));
const FormVersion = lazy(() => import('./pages/form-version'));
const Audit = lazy(() => import('./pages/audit'));
const Account = lazy(() => import('./pages/account'));

// Most visits go there: they come while the server is asked who this is.
void import('./pages/today');
void import('./pages/records');

const later = (page: React.ReactNode) => <Suspense fallback={<Wait />}>{page}</Suspense>;

const router = createBrowserRouter([
  {
    element: <Shell />,
    children: [
      { path: '/', element: later(<Today />) },
      { path: '/records/:kind', element: later(<Records />) },
      { path: '/records/:kind/:id', element: later(<RecordPage />) },
      { path: '/record/:id', element: later(<RecordById />) },
      { path: '/quarantine', element: later(<Quarantine />) },
      { path: '/doubles', element: later(<Doubles />) },
      { path: '/exchanges', element: later(<Exchanges />) },
      { path: '/overview', element: later(<Overview />) },
      { path: '/people', element: later(<People />) },
      { path: '/devices', element: later(<Devices />) },
      { path: '/forms', element: later(<Forms />) },
      { path: '/forms/:kind/:version', element: later(<FormVersion />) },
      { path: '/audit', element: later(<Audit />) },
      { path: '/account', element: later(<Account />) },
      { path: '/index.html', element: <Navigate to="/" replace /> },
      { path: '*', element: <NotFound /> },
    ],
  },
]);

/** The whole console. */
export function App() {
  useTranslation();
  return (
    <ConfigProvider locale={language() === 'en' ? en : zh} theme={consoleTheme} csp={{ nonce: nonce() }} componentSize="small">
      <AntApp message={{ maxCount: 3 }}>
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </AntApp>
    </ConfigProvider>
  );
}
